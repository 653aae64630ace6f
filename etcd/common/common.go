// Package common is what the backends for both APIs of etcd share: options, TLS,
// and finding out which API a server speaks.
package common

import (
	"maps"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/settings"
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
	// IsTLSEnabled reports whether the options ask for TLS: by the transport scheme
	// "https", or by a certificate and its key.
	IsTLSEnabled() bool
}

// EtcdLock is the state of a lock as other releases of this library keep it. It
// is here for programs that name it; this release does not use it.
type EtcdLock struct {
	Done            chan struct{} // the end of its refresh
	Unlocked        bool          // by Unlock
	Err             error         // of the refresh
	Tag             string        // of the holder
	AcquisitionTime time.Time     // when the lock was obtained
	sync.Mutex
}

// LockerIDInfo is the value, in JSON, of the key that is a lock.
type LockerIDInfo struct {
	LockerID string // names the holder
}

type etcdCommon struct {
	options map[string]string
}

// NewEtcdCommon returns what the options say. They may be nil.
func NewEtcdCommon(options map[string]string) EtcdCommon {
	return &etcdCommon{maps.Clone(options)}
}

func (c *etcdCommon) GetAuthInfoFromOptions() (transport.TLSInfo, string, string, error) {
	none := transport.TLSInfo{}
	user, password, err := settings.Login(c.options)
	if err != nil {
		return none, "", "", err
	}
	if _, err := settings.Etcd3.AsksForTLS(c.options); err != nil {
		return none, "", "", err
	}
	files, err := settings.ReadTLS(c.options)
	if err != nil {
		return none, "", "", err
	}
	return transport.TLSInfo{
		CertFile: files.CertFile, KeyFile: files.KeyFile, TrustedCAFile: files.CAFile,
		ClientCertAuth: files.ClientCertAuth, ServerName: files.ServerName, InsecureSkipVerify: files.InsecureSkipVerify,
	}, user, password, nil
}

func (c *etcdCommon) GetRetryCount() int {
	if n, err := RetryCount(c.options); err == nil {
		return n
	}
	return DefaultRetryCount
}

// RetryCount returns the value of the option [kvdb.RetryCountKey], or
// DefaultRetryCount without it. The error of one that is not a non-negative
// integer names the option.
func RetryCount(options map[string]string) (int, error) {
	return settings.Count(options, kvdb.RetryCountKey, 0, DefaultRetryCount)
}

func (c *etcdCommon) IsTLSEnabled() bool {
	asked, _ := settings.Etcd3.AsksForTLS(c.options)
	return asked
}
