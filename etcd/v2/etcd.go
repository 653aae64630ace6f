// Package etcdv2 is etcd, by its v2 API: a store for clusters that have not moved
// to the v3 API. It needs etcd 2.3 or later, up to 3.5 with --enable-v2.
//
// Endpoints are URLs, or hosts with or without a port (2379 by default); without any
// it is http://127.0.0.1:2379. The options [kvdb.TransportScheme] "https", or
// [kvdb.CertFileKey] with [kvdb.CertKeyFileKey], or an endpoint that begins with https://,
// turn TLS on. Certificates, keys and authorities are read again at each handshake.
//
// Calls return within 10 s. Each operation is one request, but for
//
//   - Put of a key that is not there: two. The first is for keys that are: only so
//     does their CreatedIndex stay;
//   - conditions on the created index, or on a value that is empty or longer than
//     2 KiB: a read comes first;
//   - Create in vain, and conditions on value and index that do not hold: a read
//     comes after;
//   - DeleteTree: a look whether it is a directory comes first.
//
// The v2 API keeps keys as a tree of files and directories. This differs from
// other backends:
//
//   - Runs of slashes in a key are one, and those at its ends are dropped; the
//     components "." and ".." are refused, as is what is not UTF-8 or has the
//     character U+FFFD. Keys of other programs that have that are left out of lists
//     and watches, because etcd does not show what they are.
//   - A key cannot be there while another one is below it: writing it is an error
//     that wraps [kvdb.ErrIllegal]. (Directories that are empty are not in the way.)
//   - Keys with a component that begins with "_" are hidden by the server, also
//     from Keys, watches of prefixes, snapshots and Serialize. Get, writes, WatchKey
//     and DeleteTree know them, and so does whatever is given a prefix that
//     contains that component and a slash behind it.
//   - Enumerate, Keys and watches of a prefix read the whole directory that it is in.
//   - DeleteTree with an empty domain and an empty prefix deletes one first-level
//     directory after the other. When somebody replaces the directory by a key of
//     that name while DeleteTree runs, that key may be deleted.
//   - The server remembers the last 1000 events of all keys. A watch with an older
//     wait index, or one that was cut off for longer, ends with
//     [kvdb.ErrWatchRevisionCompacted]. A member with watches, or with somebody who
//     waits for a lock, is asked every 2 s how far it is.
//   - When the store was wiped, restored from a backup or replaced by another one, its
//     index is smaller than before, or the last event that the instance knows is
//     missing, for which it looks when a connection of a watch was lost. Then watches
//     end with [kvdb.ErrWatchRevisionCompacted], and locks are lost. It goes unnoticed
//     if the server has had more than 1000 other events since that one, and by a
//     user who may not read that key.
//   - A transaction has one key: more are [kvdb.ErrNotSupported], and so is
//     [kvdb.TxGuard].
//   - There is no Compact and no Defragment, and there are no learners.
//
// A value that is not UTF-8 is kept in base64 behind a mark, for the API would
// change it. Values that are, are kept as they are. A request has its value in a
// form, of which servers read 10 MiB.
//
// The lock of a key is the node /_kvdb-locks/ and the key with its domain, in which
// "%" is %25 and "/" is %2F. It has a TTL of 16 s, that its holder moves on every
// 2 s. It is hidden from all lists. An instance watches the locks that it holds for
// longer than 0.1 s, all of them by one stream, so that it learns at once when one
// is removed; that of a user who may not read the locks of others has a stream for
// each. The member that takes a request computes when a TTL ends, and the leader's
// clock decides when that is: their clocks must not differ by a second, or a lock
// may pass on before its holder knows.
//
// Close goes on to release locks for as long as it may take, 10 s, and names those that
// it could not release, which others get when they have expired.
//
// Users have a role of the same name. The permission for a subtree includes that
// for the locks of its keys. The API does not tell a wrong password from a lack of
// permissions: New refuses a user who may read neither the domain nor the node
// /_kvdb-users/ and his name, which AddUser lets him read.
package etcdv2

import (
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/etcd/common"
)

// Name of the backend.
const Name = "etcd-kv"

func init() {
	if err := kvdb.Register(Name, New, common.Version); err != nil {
		panic(fmt.Sprintf("register %s: %v", Name, err))
	}
}

// New returns an instance over the etcd at endpoints, of which some may be down.
// Options are [kvdb.UsernameKey], [kvdb.PasswordKey], [kvdb.CAFileKey],
// [kvdb.TrustedCAFileKey], [kvdb.CertFileKey], [kvdb.CertKeyFileKey],
// [kvdb.ClientCertAuthKey], [kvdb.CAAuthAddress], [kvdb.InsecureSkipVerify],
// [kvdb.TransportScheme], [kvdb.RetryCountKey] and [kvdb.ReadConsistency]. An etcd that does not answer is an error within 10 s
// that wraps [kvdb.ErrNoConnection].
func New(domain string, endpoints []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	return newInstance(domain, endpoints, options, fatalErrorCb, nil)
}

func newInstance(domain string, endpoints []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB, wrap wrapper) (kvdb.Kvdb, error) {
	s, err := open(domain, endpoints, options, wrap)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	return engine.New(engine.Config{Name: Name, Domain: domain, Store: s, FatalCb: fatalErrorCb})
}
