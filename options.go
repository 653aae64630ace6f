package kvdb

// Names of the options that [New] takes.
const (
	// UsernameKey is the user name.
	UsernameKey = "Username"
	// PasswordKey is the user's password.
	PasswordKey = "Password"
	// CAFileKey is used like TrustedCAFileKey where that is not set.
	CAFileKey = "CAFile"
	// CertFileKey is the file of the client's certificate. It must be set together with
	// CertKeyFileKey.
	CertFileKey = "CertFile"
	// CertKeyFileKey is the file of the key of the client's certificate.
	CertKeyFileKey = "CertKeyFile"
	// TrustedCAFileKey is the file of the CA certificates that sign the servers'
	// certificates. The default are those of the system.
	TrustedCAFileKey = "TrustedCAFile"
	// ClientCertAuthKey is a boolean: whether a client certificate is required.
	ClientCertAuthKey = "ClientCertAuth"
	// RetryCountKey is the maximum number of retries of a request, within the time limit
	// of its call. A request is retried if it certainly did not run, or changes nothing.
	RetryCountKey = "RetryCount"
	// ACLTokenKey is the token of a store with access control lists.
	ACLTokenKey = "ACLToken"
	// CAAuthAddress is the name or address that the servers' certificates must have. The
	// default is the host of the endpoint. A port is ignored.
	CAAuthAddress = "CAAuthAddress"
	// InsecureSkipVerify is a boolean: whether any server certificate is accepted.
	InsecureSkipVerify = "InsecureSkipVerify"
	// TransportScheme is http or https, on ZooKeeper also tcp or tls.
	TransportScheme = "TransportScheme"
	// LogPathOption is the file that the wrapper Wrapper_Log writes to.
	LogPathOption = "LogPathOption"
)

// Options that earlier releases do not have.
const (
	// WrappersOption names the wrappers that New puts around the instance, separated by
	// commas, innermost first.
	WrappersOption = "WrappersOption"
	// ReadConsistency is ReadLinearizable (the default) or ReadStale. Stale reads are
	// cheaper for the store and may miss the latest writes.
	ReadConsistency = "ReadConsistency"
	// MaxRequestBytesKey is the size in bytes of the largest request that the library
	// sends to a server that drops connections because of larger ones. It is needed only
	// if the server is configured to accept more than its default.
	MaxRequestBytesKey = "MaxRequestBytes"
	// LockTTLKey is how many seconds a lock lives after the last request of its holder. A
	// short time lets others soon have the lock of a holder that died, and takes the lock
	// sooner from a holder that does not reach the store.
	LockTTLKey = "LockTTL"
)

// Values of the option [ReadConsistency].
const (
	ReadLinearizable = "linearizable"
	ReadStale        = "stale"
)

// Versions that [Version] returns.
const (
	// ConsulVersion1 is the version of Consul's API.
	ConsulVersion1 = "consulv1"
	// EtcdBaseVersion is the version of an etcd server with the v2 API only.
	EtcdBaseVersion = "etcd"
	// EtcdVersion3 is the version of an etcd server with the v3 API.
	EtcdVersion3 = "etcdv3"
	// MemVersion1 is the version of the store in memory.
	MemVersion1 = "memv1"
	// BoltVersion1 is the version of the bolt store.
	BoltVersion1 = "boltv1"
	// ZookeeperVersion1 is the version of ZooKeeper's API.
	ZookeeperVersion1 = "zookeeperv1"
)
