// Package common is what the backends for both APIs of etcd share: options, TLS,
// and finding out which API a server speaks.
package common

import (
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/portworx/kvdb"
)

const (
	// DefaultRetryCount is how often a request is tried again that is known not
	// to have run, or changes nothing, unless the option kvdb.RetryCountKey says
	// otherwise. The time limit of the call ends the tries too.
	DefaultRetryCount = 60
	// DefaultIntervalBetweenRetries is the longest wait between two tries.
	DefaultIntervalBetweenRetries = 500 * time.Millisecond
	// Bootstrap is the key that programs write to find out whether they are the
	// first.
	Bootstrap = "kvdb/bootstrap"
	// DefaultDialTimeout bounds the time in which a connection is made.
	DefaultDialTimeout = 30 * time.Second
	// DefaultLockTTL is how long a lock outlives a holder that died, in seconds.
	DefaultLockTTL = 16
	// DefaultLockRefreshDuration is the interval at which the lease of locks is
	// kept alive.
	DefaultLockRefreshDuration = 2 * time.Second
)

// EtcdCommon is what options say.
type EtcdCommon interface {
	// GetAuthInfoFromOptions returns the TLS files, the user and the password.
	// The error is kvdb.ErrNoPassword for a user without a password, and names
	// the option for others that cannot be used.
	GetAuthInfoFromOptions() (transport.TLSInfo, string, string, error)
	// GetRetryCount returns the value of the option kvdb.RetryCountKey, or
	// DefaultRetryCount without a usable one.
	GetRetryCount() int
	// IsTLSEnabled tells whether the options ask for TLS: by the transport scheme
	// "https", or by a certificate and its key.
	IsTLSEnabled() bool
}

// EtcdLock is the state of a lock as other releases of this library keep it. It
// is here for programs that name it; this release does not use it.
type EtcdLock struct {
	Done            chan struct{}
	Unlocked        bool
	Err             error
	Tag             string
	AcquisitionTime time.Time
	sync.Mutex
}

// LockerIDInfo is the value, in JSON, of the key that is a lock.
type LockerIDInfo struct {
	LockerID string
}

type etcdCommon struct {
	options map[string]string
}

// NewEtcdCommon returns what the options say. They may be nil.
func NewEtcdCommon(options map[string]string) EtcdCommon {
	return &etcdCommon{options}
}

func (c *etcdCommon) GetAuthInfoFromOptions() (transport.TLSInfo, string, string, error) {
	none := transport.TLSInfo{}
	user, password := c.options[kvdb.UsernameKey], c.options[kvdb.PasswordKey]
	switch {
	case user != "" && password == "":
		return none, "", "", kvdb.ErrNoPassword
	case user == "" && password != "":
		return none, "", "", fmt.Errorf("option %s: a password without a user", kvdb.PasswordKey)
	}
	switch scheme := c.options[kvdb.TransportScheme]; strings.TrimSuffix(scheme, "://") {
	case "", "http", "https":
	default:
		return none, "", "", fmt.Errorf("option %s: %q is neither http nor https", kvdb.TransportScheme, scheme)
	}
	info := transport.TLSInfo{
		CertFile:      c.options[kvdb.CertFileKey],
		KeyFile:       c.options[kvdb.CertKeyFileKey],
		TrustedCAFile: c.trustedCA(),
	}
	if (info.CertFile == "") != (info.KeyFile == "") {
		return none, "", "", fmt.Errorf("options %s and %s: one is there without the other",
			kvdb.CertFileKey, kvdb.CertKeyFileKey)
	}
	for _, name := range []string{kvdb.CAFileKey, kvdb.TrustedCAFileKey, kvdb.CertFileKey, kvdb.CertKeyFileKey} {
		if err := c.checkFile(name); err != nil {
			return none, "", "", fmt.Errorf("option %s: %w", name, err)
		}
	}
	if value := c.options[kvdb.ClientCertAuthKey]; value != "" {
		var err error
		if info.ClientCertAuth, err = strconv.ParseBool(value); err != nil {
			return none, "", "", fmt.Errorf("option %s: %q is no boolean", kvdb.ClientCertAuthKey, value)
		}
		if info.ClientCertAuth && info.CertFile == "" {
			return none, "", "", fmt.Errorf("option %s: %w", kvdb.ClientCertAuthKey, kvdb.ErrNoCertificate)
		}
	}
	return info, user, password, nil
}

func (c *etcdCommon) trustedCA() string {
	if file := c.options[kvdb.TrustedCAFileKey]; file != "" {
		return file
	}
	return c.options[kvdb.CAFileKey]
}

// checkFile tells what is wrong with the file that an option names, if it does.
// What a key and its certificate are is found out when TLS is set up; a file of
// authorities without any would only mean that nobody is trusted.
func (c *etcdCommon) checkFile(option string) error {
	file := c.options[option]
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if option == kvdb.CAFileKey || option == kvdb.TrustedCAFileKey {
		if !x509.NewCertPool().AppendCertsFromPEM(content) {
			return fmt.Errorf("%s has no certificate", file)
		}
	}
	return nil
}

func (c *etcdCommon) GetRetryCount() int {
	if n, err := RetryCount(c.options); err == nil {
		return n
	}
	return DefaultRetryCount
}

// RetryCount returns the value of the option kvdb.RetryCountKey, or
// DefaultRetryCount without it. The error of one that is no number from 0 on
// names the option.
func RetryCount(options map[string]string) (int, error) {
	value, ok := options[kvdb.RetryCountKey]
	if !ok {
		return DefaultRetryCount, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("option %s: %q is no number from 0 on", kvdb.RetryCountKey, value)
	}
	return n, nil
}

func (c *etcdCommon) IsTLSEnabled() bool {
	return strings.TrimSuffix(c.options[kvdb.TransportScheme], "://") == "https" ||
		c.options[kvdb.CertFileKey] != "" && c.options[kvdb.CertKeyFileKey] != ""
}
