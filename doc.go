// Package kvdb is one interface to many key-value stores: put, get, enumerate,
// watch, lock, transact, snapshot. The rules are the same on every store, so a
// program need not know which one it runs on.
//
// A program imports the backends it wants and names one of them to [New]:
//
//	import _ "github.com/portworx/kvdb/bolt"
//
//	kv, err := kvdb.New("bolt-kv", "my/app", nil, nil, nil)
//
// [Open] also takes a context, refuses misspelled options, and logs to a [log/slog.Logger].
//
// [New] returns [ErrNotSupported] for a name whose backend the program does not
// import. [Backends] lists the registered names. The import paths begin with
// github.com/portworx/kvdb:
//
//	"bolt-kv"       …/bolt
//	"consul-kv"     …/consul
//	"etcd-kv"       …/etcd/v2
//	"etcdv3-kv"     …/etcd/v3
//	"kv-mem"        …/mem
//	"zookeeper-kv"  …/zookeeper
//
// The wrappers for [AddWrapper] and [WrappersOption] are in …/wrappers.
//
// [Kvdb] has the operations. Some more are functions that take a [Kvdb], because
// the interface does not grow: [Close], [WithContext], [Pairs], [Events], [GetAs],
// [EnumerateAs], [ModifyAs], [PutMany], [LimitsOf], [TxGuard] and [TxDelete] work on every
// backend and through every wrapper.
//
// # Keys
//
// The store's key is the domain given to [New], a slash, and the program's key. Keys
// that the library returns are relative to the domain. [Kvdb.Enumerate] and
// [Kvdb.WatchTree] take a string prefix: "ab" matches "ab", "abc" and "ab/c".
// [Kvdb.Keys] and [Kvdb.DeleteTree] take a directory: "ab" means all keys below
// "ab/". [Kvdb.Enumerate] leaves out keys whose last component begins with "_"; all
// other calls include them.
//
// # Indexes
//
// A store counts its modifications. A pair carries the number of the write that
// created it (CreatedIndex) and of the last one (ModifiedIndex). Of two writes to any
// keys the later has the larger index. [Kvdb.CompareAndSet] compares indexes, and a
// watch with a wait index delivers the changes with a larger one.
//
// # Caveats
//
// If the connection breaks before a write is answered, the write may have happened or
// not. The library sends it again only if it knows that it did not happen. If it cannot
// find out, the error wraps [ErrUnknownOutcome], and the program must read the key and
// decide.
//
// The process that holds a lock may be stopped for so long that the lock expires and
// another process obtains it. To protect something outside of the store, give it the
// lock's fencing token (see [HeldLock]). To protect keys of the store, write them in a
// transaction with [TxGuard].
//
// A watch calls its callback on one goroutine, so an event waits until the callback has
// returned from the previous one. [Close] of the instance waits for the callback too, so
// a callback must not call it. The call with an error is the last one; a program that
// wants more events starts a new watch.
//
// A watch that is too far behind ends with [ErrWatchRevisionCompacted]. Read the state
// again, and watch from its index.
//
// A TTL is in seconds. A later write without a TTL removes it.
//
// An instance has goroutines and connections. [Close] it after use.
package kvdb
