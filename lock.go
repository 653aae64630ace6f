package kvdb

// HeldLock is what the Lock field of a pair implements that Lock, [Kvdb.LockWithID] or
// [Kvdb.LockWithTimeout] returned.
type HeldLock interface {
	// Token is the fencing token: larger for each later holder of the key.
	// Hand it to whatever the lock protects, and let that refuse a smaller
	// token than it has seen. It is also the pair's ModifiedIndex.
	Token() uint64
	// Lost returns a channel that is closed when the lock is not held any more
	// though nobody called Unlock: before anybody else can get it by expiry,
	// and as soon as the store tells when somebody removed it by force.
	Lost() <-chan struct{}
}

// TxGuarder is implemented by the [Tx] of backends that can tie a transaction to
// a lock.
type TxGuarder interface {
	// Guard lets Commit succeed only if lock is still held then.
	Guard(lock *KVPair) error
}

// TxGuard makes the Commit of tx succeed only if lock, a pair that one of the
// Lock calls of the same instance returned, is still held: the store decides
// that in the same atomic step. Commit is [ErrInvalidLock] when it is not.
// TxGuard returns [ErrInvalidLock] for a pair that is no lock of this instance,
// and [ErrNotSupported] where the store cannot do this.
func TxGuard(tx Tx, lock *KVPair) error {
	if g, ok := tx.(TxGuarder); ok {
		return g.Guard(lock)
	}
	return ErrNotSupported
}
