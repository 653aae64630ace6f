// Package kvdb is one interface to many key-value stores: put, get, enumerate,
// watch, lock, transact, snapshot. The rules are the same on every store, so
// that a program cannot tell which one it runs on.
//
// A program imports the backends it wants and names one of them to [New]:
//
//	import _ "github.com/portworx/kvdb/bolt"
//
//	kv, err := kvdb.New("bolt-kv", "my/app", nil, nil, nil)
//
// A name whose backend the program does not import is [ErrNotSupported]. [Backends]
// lists the names that are there. The import paths begin with
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
// [EnumerateAs], [ModifyAs] and [TxGuard] work on every backend and through every
// wrapper.
//
// # Keys
//
// The domain given to [New], and a slash, go in front of every key; what a
// program sees is always relative to its domain. [Kvdb.Enumerate] and [Kvdb.WatchTree] take a
// string prefix: "ab" matches "ab", "abc" and "ab/c". [Kvdb.Keys] and [Kvdb.DeleteTree] take
// a directory: "ab" stands for all below "ab/". A key whose last component
// begins with "_" is left out by [Kvdb.Enumerate], and by nothing else.
//
// # Indexes
//
// A store counts its modifications. A pair carries the count of its first write
// (CreatedIndex) and of its last one (ModifiedIndex). Of two writes to any keys
// the later has the larger index. [Kvdb.CompareAndSet] compares indexes, and a watch
// with a wait index goes on from there.
//
// # Caveats
//
// A write whose connection breaks before the answer may have happened or not.
// The library does not send it again blindly; when it cannot find out, the error
// wraps [ErrUnknownOutcome], and the program must read the key and decide.
//
// The process that holds a lock may be stopped for longer than the store waits for
// it. To protect something outside of the store, give it the lock's fencing token
// (see [HeldLock]). To protect keys of the store, write them in a transaction with
// [TxGuard].
//
// A watch calls its callback on one goroutine: an event waits until the callback
// has returned from the one before, and [Close] of the instance waits too, so a
// callback must not call it. The call with an error is the last one; a program
// that wants more events watches again.
//
// A watch that is too far behind ends with [ErrWatchRevisionCompacted]: read the
// state anew, and watch from its index.
//
// A TTL is in seconds. A later write without one takes it away.
//
// An instance has goroutines and connections: [Close] it.
package kvdb
