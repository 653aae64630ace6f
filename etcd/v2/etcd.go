// Package etcdv2 is the kvdb backend for etcd's v2 API, for clusters that have not moved
// to the v3 API. It needs etcd 2.3 to 3.5, from 3.4 on with --enable-v2.
//
// Endpoints are URLs, or hosts with or without a port (2379 by default). No endpoints
// mean http://127.0.0.1:2379. The options [kvdb.TransportScheme] "https", or
// [kvdb.CertFileKey] with [kvdb.CertKeyFileKey], or an endpoint that begins with https://,
// turn TLS on. Certificates, keys and authorities are read again at each handshake.
//
// Calls return within 10 s. Each operation is one request, except
//
//   - Put of a key that does not exist: two. The first one overwrites an existing key,
//     which is the only way to keep its CreatedIndex;
//   - conditions on the created index, or on a value that is empty or longer than
//     2 KiB: a read comes first;
//   - Create of a key that exists, and conditions on value and index that do not hold: a
//     read comes after;
//   - DeleteTree: a read comes first, which shows whether it is a directory.
//
// The v2 API stores keys as a tree of files and directories. This differs from
// other backends:
//
//   - Runs of slashes in a key become one, and slashes at its ends are dropped. The
//     components "." and ".." are refused, and so is a key that is not UTF-8 or has the
//     character U+FFFD. Lists and watches leave out such keys of other programs, because
//     etcd does not return them unchanged.
//   - A key cannot exist while another one is below it. The error of a write to such a key
//     wraps [kvdb.ErrIllegal]. (Empty directories do not prevent it.)
//   - The server hides keys with a component that begins with "_", also from Keys, watches
//     of prefixes, snapshots and Serialize. Get, writes, WatchKey and DeleteTree see them,
//     and so does any call with a prefix that contains that component and a slash
//     behind it.
//   - Enumerate, Keys and watches of a prefix read the whole directory that contains it.
//   - DeleteTree with an empty domain and an empty prefix deletes one first-level
//     directory after the other. If another client replaces the directory by a key of
//     that name while DeleteTree runs, that key may be deleted.
//   - The server remembers the last 1000 events of all keys. A watch with an older
//     wait index, or one that was disconnected for longer, ends with
//     [kvdb.ErrWatchRevisionCompacted]. While there are watches, or calls that wait for a
//     lock, their member gets a request for its index every 2 s.
//   - When the store was wiped, restored from a backup or replaced by another one, its
//     index is smaller than before, or the last event that the instance knows is
//     missing, which it checks when a connection of a watch was lost. Then watches
//     end with [kvdb.ErrWatchRevisionCompacted], and locks are lost. This is not detected
//     if the server has had more than 1000 other events since that one, or if the user
//     may not read that key.
//   - A transaction has one key: more are [kvdb.ErrNotSupported], and so is
//     [kvdb.TxGuard].
//   - There is no Compact and no Defragment, and there are no learners.
//
// A value that is not UTF-8 is stored in base64 behind a mark, because the API would
// change it. Other values are stored unchanged. A request has its value in a form, of
// which servers read 10 MiB.
//
// The lock of a key is the node /_kvdb-locks/ and the key with its domain, in which
// "%" is %25 and "/" is %2F. It has a TTL of 16 s, or of [kvdb.LockTTLKey], which its
// holder renews every eighth of it. Lists do not show it. An instance watches the locks that it holds for longer than
// 0.1 s, all of them with one stream, so that it notices at once when one is removed. A
// user who may not read the locks of others has a stream for each. The member that takes a
// request computes when a TTL ends, and the leader's clock decides when that time has
// come. So their clocks must not differ by a second, or another client may obtain a lock
// before its holder knows that it is lost.
//
// Close tries to release locks for up to 10 s. Its error names those that it could not
// release, which others can obtain when they have expired.
//
// Users have a role of the same name. The permission for a subtree includes that
// for the locks of its keys. The API does not distinguish a wrong password from missing
// permissions. So New refuses a user who may read neither the domain nor the node
// of his name in /_kvdb-users/, which AddUser lets him read.
package etcdv2

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/etcd/common"
)

// Name of the backend.
const Name = "etcd-kv"

func init() {
	driver.Register(driver.Backend{Name: Name, New: New, Version: common.Version, Options: declared.Names()})
}

// New returns an instance that uses the etcd at endpoints, of which some may be down.
// It takes the options [kvdb.UsernameKey], [kvdb.PasswordKey], [kvdb.CAFileKey],
// [kvdb.TrustedCAFileKey], [kvdb.CertFileKey], [kvdb.CertKeyFileKey],
// [kvdb.ClientCertAuthKey], [kvdb.CAAuthAddress], [kvdb.InsecureSkipVerify],
// [kvdb.TransportScheme], [kvdb.RetryCountKey], [kvdb.ReadConsistency] and [kvdb.LockTTLKey].
// If etcd does not answer within 10 s, the error wraps [kvdb.ErrNoConnection].
func New(domain string, endpoints []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	return newInstance(domain, endpoints, options, fatalErrorCb, nil)
}

func newInstance(domain string, endpoints []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB, wrap wrapper) (kvdb.Kvdb, error) {
	s, err := open(domain, endpoints, options, wrap)
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Config{Name: Name, Domain: domain, Store: s, FatalCb: fatalErrorCb, Hooks: s.hooks})
}
