// Package common has what the backends for both APIs of etcd share: options, TLS, and
// the question which API a server speaks.
package common

import (
	"maps"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/option"
	"github.com/portworx/kvdb/internal/settings"
)

const (
	// DefaultRetryCount is how often a request is sent again that is known not to
	// have run, or that changes nothing. The option kvdb.RetryCountKey changes it. The
	// time limit of the call also ends the tries.
	DefaultRetryCount = 60
	// DefaultIntervalBetweenRetries is the longest wait between two tries.
	DefaultIntervalBetweenRetries = 500 * time.Millisecond
	// Bootstrap is the key that a program creates to find out whether it is the
	// first one.
	Bootstrap = "kvdb/bootstrap"
	// DefaultDialTimeout bounds how long it may take to make a connection.
	DefaultDialTimeout = 30 * time.Second
	// DefaultLockTTL is how long a lock outlives a holder that has died, in seconds.
	DefaultLockTTL = 16
	// DefaultLockRefreshDuration is the interval between two keep-alives of the lease
	// of locks.
	DefaultLockRefreshDuration = 2 * time.Second
)

// EtcdCommon reads the options that both backends have.
type EtcdCommon interface {
	// GetAuthInfoFromOptions returns the TLS files, the user and the password.
	// The error is kvdb.ErrNoPassword for a user without a password, and otherwise
	// names the option that cannot be used.
	GetAuthInfoFromOptions() (transport.TLSInfo, string, string, error)
	// GetRetryCount returns the value of the option kvdb.RetryCountKey, or
	// DefaultRetryCount when it is missing or not a non-negative integer.
	GetRetryCount() int
	// IsTLSEnabled reports whether the options ask for TLS: by the transport scheme
	// "https", or by a certificate and its key.
	IsTLSEnabled() bool
}

// EtcdLock is the state of a lock in earlier releases of this library. It exists for
// programs that use the type; this release does not use it.
type EtcdLock struct {
	Done            chan struct{} // ends the refresh of the lock
	Unlocked        bool          // whether Unlock was called
	Err             error         // of the refresh
	Tag             string        // names the holder
	AcquisitionTime time.Time     // when the lock was obtained
	sync.Mutex
}

// LockerIDInfo is the value, in JSON, of a lock's key.
type LockerIDInfo struct {
	LockerID string // names the holder
}

type etcdCommon struct {
	options map[string]string
}

// NewEtcdCommon returns a reader of options, which may be nil.
func NewEtcdCommon(options map[string]string) EtcdCommon {
	return &etcdCommon{maps.Clone(options)}
}

func (c *etcdCommon) GetAuthInfoFromOptions() (transport.TLSInfo, string, string, error) {
	none := transport.TLSInfo{}
	user, password, err := option.Login(c.options)
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

// RetryCount returns the value of the option [kvdb.RetryCountKey], or DefaultRetryCount
// without it. When it is not a non-negative integer, the error names the option.
func RetryCount(options map[string]string) (int, error) {
	return option.Count(options, kvdb.RetryCountKey, 0, DefaultRetryCount)
}

func (c *etcdCommon) IsTLSEnabled() bool {
	asked, _ := settings.Etcd3.AsksForTLS(c.options)
	return asked
}
