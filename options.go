package kvdb

// Names of the options that [New] takes.
const (
	// UsernameKey for an authenticated kvdb endpoint
	UsernameKey = "Username"
	// PasswordKey for an authenticated kvdb endpoint
	PasswordKey = "Password"
	// CAFileKey is the CA file path for an authenticated kvdb endpoint
	CAFileKey = "CAFile"
	// CertFileKey is the certificate file path for an authenticated kvdb endpoint
	CertFileKey = "CertFile"
	// CertKeyFileKey is the key to the certificate
	CertKeyFileKey = "CertKeyFile"
	// TrustedCAFileKey is the key for the trusted CA.
	TrustedCAFileKey = "TrustedCAFile"
	// ClientCertAuthKey is the boolean value indicating client authenticated certificate.
	ClientCertAuthKey = "ClientCertAuth"
	// RetryCountKey is how often a request that certainly did not run, or changes
	// nothing, is tried again within the time limit of its call
	RetryCountKey = "RetryCount"
	// ACLTokenKey is the token value for ACL based KV stores
	ACLTokenKey = "ACLToken"
	// CAAuthAddress is the name or address that the servers' certificates must have;
	// without it the host of the endpoint. A port behind it does not count
	CAAuthAddress = "CAAuthAddress"
	// InsecureSkipVerify is the boolean value indicating that any certificate of a
	// server is accepted
	InsecureSkipVerify = "InsecureSkipVerify"
	// TransportScheme is http or https, on ZooKeeper also tcp or tls.
	TransportScheme = "TransportScheme"
	// LogPathOption is the name of the option which specified the log path location
	LogPathOption = "LogPathOption"
)

// Options beyond those of other releases.
const (
	// WrappersOption names the wrappers that New puts around the instance:
	// wrapper names separated by commas, innermost first.
	WrappersOption = "WrappersOption"
	// ReadConsistency is ReadLinearizable (the default) or ReadStale. A stale
	// read is the store's cheaper mode: it may miss the latest writes.
	ReadConsistency = "ReadConsistency"
	// MaxRequestBytesKey is the size in bytes of the largest request that the library
	// sends, where a server drops the connection of a client that sends a larger
	// one. It is needed only for a server that was configured to take more than
	// its default.
	MaxRequestBytesKey = "MaxRequestBytes"
)

// Values of the option [ReadConsistency].
const (
	ReadLinearizable = "linearizable"
	ReadStale        = "stale"
)

// List of kvdb endpoints supported versions
const (
	// ConsulVersion1 key
	ConsulVersion1 = "consulv1"
	// EtcdBaseVersion key
	EtcdBaseVersion = "etcd"
	// EtcdVersion3 key
	EtcdVersion3 = "etcdv3"
	// MemVersion1 key
	MemVersion1 = "memv1"
	// BoltVersion1 key
	BoltVersion1 = "boltv1"
	// ZookeeperVersion1 key
	ZookeeperVersion1 = "zookeeperv1"
)
