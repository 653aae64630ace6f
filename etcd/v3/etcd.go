// Package etcdv3 is the backend for etcd, 3.4 or later, over its v3 API.
//
// Endpoints are URLs, or hosts with or without a port (2379 by default); without any
// they are http://127.0.0.1:2379 and http://[::1]:2379. The options
// [kvdb.TransportScheme] "https", or [kvdb.CertFileKey] with [kvdb.CertKeyFileKey], or an
// endpoint that begins with https://, turn TLS on. Certificates, keys and CA files
// are read again at each handshake.
//
// An operation is one request. With a TTL it is two, because a TTL needs a lease. When
// the key is overwritten or deleted, its lease is revoked in the background. The lease
// remains until the TTL ends when a transaction or DeleteTree overwrites or deletes the
// key, or when a transaction has written several keys with that TTL. A TTL is at least
// 5 s, because etcd expires shorter leases late. Watches report an expired key as
// deleted.
//
// Calls return within 10 s. All watches of an instance share one stream, and all its
// locks share one lease of 16 s, or of [kvdb.LockTTLKey].
//
// The lock of a key is stored at the key with the domain twice in front of it, as in
// other releases of this library, so programs with different releases exclude each
// other. Enumerate, Keys, watches of prefixes, snapshots and DeleteTree leave locks out.
// If a key of a program begins with the domain once more, it is stored where the lock
// of another key belongs; Lock of that other key is [kvdb.ErrInvalidLock]. With an empty
// domain, a key and its lock are stored at the same place.
//
// A request with its keys and values may have 1.5 MiB, a transaction 128 operations,
// unless the server is started with other limits (--max-request-bytes,
// --max-txn-ops). A request that exceeds them is [kvdb.ErrTooLarge].
package etcdv3

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/etcd/common"
)

// Name of the backend.
const Name = "etcdv3-kv"

func init() {
	driver.Register(driver.Backend{Name: Name, New: New, Version: common.Version, Options: declared.Names()})
}

// New returns an instance that uses the etcd at endpoints, of which some may be down.
// Options are [kvdb.UsernameKey], [kvdb.PasswordKey], [kvdb.CAFileKey],
// [kvdb.TrustedCAFileKey], [kvdb.CertFileKey], [kvdb.CertKeyFileKey],
// [kvdb.ClientCertAuthKey], [kvdb.CAAuthAddress], [kvdb.InsecureSkipVerify],
// [kvdb.TransportScheme], [kvdb.RetryCountKey], [kvdb.ReadConsistency] and
// [kvdb.LockTTLKey]. When etcd does not answer, New returns an error that wraps
// [kvdb.ErrNoConnection] within 10 s.
func New(domain string, endpoints []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	return newInstance(domain, endpoints, options, fatalErrorCb)
}

func newInstance(domain string, endpoints []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB, more ...dialOption) (kvdb.Kvdb, error) {
	s, err := open(domain, endpoints, options, more...)
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Config{Name: Name, Domain: domain, Store: s, FatalCb: fatalErrorCb, Hooks: &s.hooks})
}
