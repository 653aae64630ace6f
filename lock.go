package kvdb

// HeldLock is implemented by the Lock field of a pair that [Kvdb.Lock],
// [Kvdb.LockWithID] or [Kvdb.LockWithTimeout] returned.
type HeldLock interface {
	// Token returns the fencing token, which is larger for each later holder of the
	// key. Give it to the resource that the lock protects, which should refuse a token
	// smaller than one that it has seen. It is also the pair's ModifiedIndex.
	Token() uint64
	// Lost returns a channel that is closed when the lock is lost without Unlock. It is
	// closed before anybody else can obtain a lock that expired. It is closed as soon
	// as the store reports that somebody removed the lock by force.
	Lost() <-chan struct{}
}

// TxGuarder is implemented by the [Tx] of backends that can tie a transaction to
// a lock.
type TxGuarder interface {
	// Guard makes Commit succeed only if lock is still held at that time.
	Guard(lock *KVPair) error
}

// TxGuard makes the Commit of tx succeed only if lock is still held. The store checks
// that in the same atomic step, and Commit returns [ErrInvalidLock] otherwise. lock is
// the pair that a Lock call of the same instance returned; for another pair TxGuard
// returns [ErrInvalidLock]. If the store cannot do this, it returns [ErrNotSupported].
func TxGuard(tx Tx, lock *KVPair) error {
	if g, ok := tx.(TxGuarder); ok {
		return g.Guard(lock)
	}
	return ErrNotSupported
}
