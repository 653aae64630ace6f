package kvdb

import (
	"context"
	"fmt"
	"time"
)

// Hook observes an instance. It implements one or more of the interfaces [HookOperation],
// [HookRequest], [HookConnection], [HookWatch], [HookDelivery] and [HookLock], whose
// methods are called where the things happen. They may be called concurrently, must
// return soon, and must not call the instance. A hook is comparable, such as a pointer,
// so that [RemoveHooks] can find it.
type Hook interface{}

// HookAdder is implemented by a [Kvdb] that can be observed. All backends of this module
// implement it.
type HookAdder interface {
	// AddHooks adds hooks to the instance. A hook that it has already is not added again.
	AddHooks(hooks ...Hook)
	// RemoveHooks removes hooks from the instance. Calls of them may still be running.
	RemoveHooks(hooks ...Hook)
}

// AddHooks adds hooks to the instance behind kv: behind all its wrappers, and for all its
// views. It returns an error that wraps [ErrIllegal] if a hook implements no interface of a
// hook, and [ErrNotSupported] if kv cannot be observed. Then no hook is added. A mock tells
// hooks nothing.
func AddHooks(kv Kvdb, hooks ...Hook) error {
	for _, h := range hooks {
		switch h.(type) {
		case HookOperation, HookRequest, HookConnection, HookWatch, HookDelivery, HookLock:
		default:
			return fmt.Errorf("%w: %T implements no interface of a hook, such as kvdb.HookOperation", ErrIllegal, h)
		}
	}
	a := hookAdder(kv)
	if a == nil {
		return ErrNotSupported
	}
	a.AddHooks(hooks...)
	return nil
}

// RemoveHooks removes hooks that [AddHooks] added. Calls of them may still be running when
// it returns.
func RemoveHooks(kv Kvdb, hooks ...Hook) {
	if a := hookAdder(kv); a != nil {
		a.RemoveHooks(hooks...)
	}
}

// hookAdder returns the HookAdder in kv's chain of wrappers, or nil.
func hookAdder(kv Kvdb) HookAdder {
	for kv != nil {
		if a, ok := kv.(HookAdder); ok {
			return a
		}
		kv = kv.WrappedKvdb()
	}
	return nil
}

// Operation is a call of a method of an instance.
type Operation struct {
	// Backend is the name of the backend, and Domain the domain of the instance.
	Backend, Domain string
	// Name is the name of the operation: "get", "put", "create", "update", "enumerate",
	// "keys", "delete", "delete_tree", "compare_and_set", "compare_and_delete", "watch",
	// "snapshot", "serialize", "ttl", "lock", "unlock", "is_key_locked", "commit",
	// "compact", "snap_put", or that of a method about users or members, such as
	// "add_user". Others may be added. "get" is also GetVal, GetWithCopy and Ping, and
	// "enumerate" each page of [Pairs]. What sends no request, such as Deserialize, is
	// no operation.
	Name string
	// Key is the key or prefix that the caller gave. It is "" for an operation without one,
	// such as a transaction.
	Key string
}

// HookOperation observes operations.
type HookOperation interface {
	// OnOperationStart is called before an operation. ctx is that of the view, see
	// WithContext. The context that it returns, which is ctx or derived from it, is that of
	// the operation's requests and of OnOperationEnd.
	OnOperationStart(ctx context.Context, op Operation) context.Context
	// OnOperationEnd is called after an operation. err is the error that the caller gets.
	OnOperationEnd(ctx context.Context, op Operation, outcome Outcome, err error, took time.Duration)
}

// Fate is what became of a request.
type Fate string

// The fates of requests.
const (
	// FateAnswered means that the store answered with a result.
	FateAnswered Fate = "answered"
	// FateRefused means that the store, or its client, answered with an error.
	FateRefused Fate = "refused"
	// FateNotRun means that the request certainly did not run.
	FateNotRun Fate = "not_run"
	// FatePerhaps means that the request may have run.
	FatePerhaps Fate = "perhaps"
)

// Request is an attempt at a request that an operation, or the instance on its own, has
// sent to a server.
type Request struct {
	// Backend is the name of the backend.
	Backend string
	// Endpoint is the server, as host and port. It is "" if no server was chosen.
	Endpoint string
	// Attempt is 1 for the first attempt.
	Attempt int
	// Fate is what became of the attempt.
	Fate Fate
	// Took is the time until the answer, or until the attempt was given up.
	Took time.Duration
	// Err is the error of the attempt, or nil.
	Err error
}

// HookRequest observes requests to servers. Stores in process send none. Requests that
// carry watches, wait for a lock or keep locks alive are not observed. What a store's client
// sends together is one request: the reads of a list on ZooKeeper for example, or a request
// of etcd v3 and the same one after a new login.
type HookRequest interface {
	// OnRequest is called after each attempt. ctx is that of the request.
	OnRequest(ctx context.Context, r Request)
}

// HookConnection observes connections to servers. The number of calls of OnConnectionMade
// without one of OnConnectionLost is the number of connections. Stores in process have none.
type HookConnection interface {
	// OnConnectionMade is called when a connection is established, and when the hook is
	// added, for each connection that exists.
	OnConnectionMade(backend, endpoint string)
	// OnConnectionLost is called when such a connection has ended, and when the hook is
	// removed, for each connection that exists. err is the cause, io.EOF if the server has
	// closed the connection. It is nil if the instance has closed it, because it was not
	// used any more or the server did not answer in time for example.
	OnConnectionLost(backend, endpoint string, err error)
}

// Watch is a watch of a key or a tree.
type Watch struct {
	// Backend is the name of the backend, and Domain the domain of the instance.
	Backend, Domain string
	// Key is the key or prefix that the caller gave.
	Key string
	// Tree reports whether Key is a prefix.
	Tree bool
	// ID is different for each watch of the process.
	ID uint64
}

// HookWatch observes watches that start after it was added. The methods are called for one
// watch in order and one at a time.
type HookWatch interface {
	// OnWatchStart is called when a watch is registered.
	OnWatchStart(w Watch)
	// OnWatchInterrupted is called when a watch no longer gets events, because the server
	// does not answer for example. err is the cause.
	OnWatchInterrupted(w Watch, err error)
	// OnWatchResumed is called when the watch gets events again, gap after it was
	// interrupted. No event was lost, unless OnWatchEnd follows with ErrWatchRevisionCompacted.
	OnWatchResumed(w Watch, gap time.Duration)
	// OnWatchQueue is called when events arrive, and when the callback has returned from the
	// last of them. queued is the number of events for which it has not returned.
	OnWatchQueue(w Watch, queued int)
	// OnWatchEnd is called when a watch is over. err is the error that the callback gets:
	// ErrWatchStopped or ErrWatchRevisionCompacted. cause has more about it, or is nil.
	OnWatchEnd(w Watch, err, cause error)
}

// Delivery is the delivery of one event to a watch's callback.
type Delivery struct {
	// Watch is the watch.
	Watch Watch
	// Key, Action and Index are those of the event.
	Key    string
	Action KVAction
	Index  uint64
	// Waited is how long the event was queued in the instance, as far as that is known,
	// and Took how long the callback took. For events of a batch, see [WatchBatches], Took
	// is the callback's time divided by their number.
	Waited, Took time.Duration
}

// HookDelivery observes the deliveries of events.
type HookDelivery interface {
	// OnDelivery is called after the callback has returned.
	OnDelivery(d Delivery)
}

// LockInfo is a lock that an instance waits for or holds.
type LockInfo struct {
	// Backend is the name of the backend, and Domain the domain of the instance.
	Backend, Domain string
	// Key and ID are those that the caller gave.
	Key, ID string
	// Token is the fencing token, 0 until the lock is obtained.
	Token uint64
}

// Reasons for the loss of a lock.
const (
	// LockExpired means that the lease or session of the lock ended, or may have ended,
	// because the store was not reached in time.
	LockExpired = "expired"
	// LockRemoved means that another client has removed or replaced the lock.
	LockRemoved = "removed"
	// LockClosed means that the instance was closed while it held the lock.
	LockClosed = "closed"
	// LockLostUnknown means that the backend does not tell the reason.
	LockLostUnknown = "unknown"
)

// HookLock observes locks that are waited for after it was added. The methods are called for
// one lock in order and one at a time.
type HookLock interface {
	// OnLockWaiting is called when an operation begins to wait for a lock.
	OnLockWaiting(l LockInfo)
	// OnLockObtained is called when the lock is obtained.
	OnLockObtained(l LockInfo, waited time.Duration)
	// OnLockNotObtained is called when the operation ends with an error instead.
	OnLockNotObtained(l LockInfo, waited time.Duration, err error)
	// OnLockHeldTooLong is called when a lock is held for longer than its limit.
	OnLockHeldTooLong(l LockInfo, held time.Duration)
	// OnLockLost is called when a lock is lost. reason is one of the constants, such as
	// LockExpired.
	OnLockLost(l LockInfo, held time.Duration, reason string)
	// OnLockReleased is called when Unlock has ended the holding of a lock that was not
	// lost. err is the error of the first Unlock, or nil.
	OnLockReleased(l LockInfo, held time.Duration, err error)
}
