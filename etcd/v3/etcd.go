// Package etcdv3 is etcd, by its v3 API: a store for clusters. It needs etcd 3.4
// or later.
//
// Endpoints are URLs, or hosts with or without a port (2379 by default); without any
// they are http://127.0.0.1:2379 and http://[::1]:2379. The options
// [kvdb.TransportScheme] "https", or [kvdb.CertFileKey] with [kvdb.CertKeyFileKey], or an
// endpoint that begins with https://, turn TLS on. Certificates, keys and authorities
// are read again at each handshake.
//
// Each operation is one request, and one more when it has a TTL, for that needs
// a lease. When the key is overwritten or deleted its lease is revoked in the
// background; it stays until the TTL ends when a transaction or DeleteTree does
// that, and when a transaction wrote several keys with that TTL. Calls return
// within 10 s. All watches of an instance share one stream,
// all its locks one lease of 16 s. A TTL is at least 5 s, for smaller leases
// expire late. An expired key is seen as deleted.
//
// The lock of a key is the key with the domain twice in front of it, as in other
// releases of this library, so that both exclude each other. Enumerate, Keys,
// watches of prefixes, snapshots and DeleteTree leave locks out. A program's own
// key that begins with the domain once more would be where a lock is: then Lock
// is [kvdb.ErrInvalidLock]. With an empty domain a lock and its key are at one
// place.
//
// A request with its keys and values may have 1.5 MiB, a transaction 128 operations,
// unless the server is started with other limits (--max-request-bytes,
// --max-txn-ops). What it refuses because of them is [kvdb.ErrTooLarge].
package etcdv3

import (
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/etcd/common"
)

// Name of the backend.
const Name = "etcdv3-kv"

func init() {
	if err := kvdb.Register(Name, New, common.Version); err != nil {
		panic(fmt.Sprintf("register %s: %v", Name, err))
	}
}

// New returns an instance over the etcd at endpoints, of which some may be down.
// Options are [kvdb.UsernameKey], [kvdb.PasswordKey], [kvdb.CAFileKey],
// [kvdb.TrustedCAFileKey], [kvdb.CertFileKey], [kvdb.CertKeyFileKey],
// [kvdb.ClientCertAuthKey], [kvdb.CAAuthAddress], [kvdb.InsecureSkipVerify],
// [kvdb.TransportScheme], [kvdb.RetryCountKey] and [kvdb.ReadConsistency]. An etcd that
// does not answer is an error within 10 s that wraps [kvdb.ErrNoConnection].
func New(domain string, endpoints []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	return newInstance(domain, endpoints, options, fatalErrorCb)
}

func newInstance(domain string, endpoints []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB, more ...dialOption) (kvdb.Kvdb, error) {
	s, err := open(domain, endpoints, options, more...)
	if err != nil {
		return nil, err
	}
	kv, err := engine.New(engine.Config{Name: Name, Domain: domain, Store: s, FatalCb: fatalErrorCb})
	if err != nil {
		return nil, err
	}
	return kv, nil
}
