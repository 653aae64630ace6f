package test

import "github.com/portworx/kvdb"

var guardGroup = group{name: "Guards", calls: "kvdb.TxGuard", needs: []*part{txPart, lockPart}, cases: []testCase{
	{name: "Held", run: guardHeld},
	{name: "NotHeld", run: guardNotHeld},
	{name: "WrongPair", run: guardWrongPair},
}}

// guarded returns a transaction that is tied to lock, or nil if the store has none.
func (e *env) guarded(lock *kvdb.KVPair) kvdb.Tx {
	e.t.Helper()
	tx := e.tx()
	err := kvdb.TxGuard(tx, lock)
	if e.traits.SingleKeyTx {
		e.unsupported = true
		e.is(kvdb.ErrNotSupported, err)
		return nil
	}
	e.NoError(err)
	return tx
}

func guardHeld(e *env) {
	one, two := e.lock(e.kv, "one", "me"), e.lock(e.kv, "two", "me")
	tx := e.guarded(one)
	if tx == nil {
		return
	}
	e.NoError(kvdb.TxGuard(tx, two))
	e.txWrites(tx, "key", "value")
	e.NoError(tx.Prepare())
	e.NoError(tx.Commit())
	e.holds("key", "value")
	e.notLost(one)
	e.isLocked("one", "me")
	e.NoError(e.kv.Unlock(one))
	e.NoError(e.kv.Unlock(two))
}

// A transaction tied to a lock that is not held any more writes nothing.
func guardNotHeld(e *env) {
	lock := e.lock(e.kv, "lock", "me")
	released, taken, empty := e.guarded(lock), e.guarded(lock), e.guarded(lock)
	if released == nil {
		return
	}
	for _, tx := range []kvdb.Tx{released, taken} {
		e.txWrites(tx, "key", "value")
		e.txWrites(tx, "key2", "value")
	}
	e.NoError(e.kv.Unlock(lock))
	e.is(kvdb.ErrInvalidLock, released.Commit())
	e.is(kvdb.ErrInvalidLock, empty.Commit())
	e.missing("key", "key2")
	next := e.lock(e.peer(), "lock", "next")
	e.is(kvdb.ErrInvalidLock, taken.Commit())
	e.missing("key", "key2")
	e.isLocked("lock", "next")
	e.notLost(next)
}

func guardWrongPair(e *env) {
	if e.traits.SingleKeyTx {
		e.guarded(nil)
		return
	}
	value := e.put("value", "x")
	for _, wrong := range []*kvdb.KVPair{nil, {}, value, {Key: "value", Lock: notALock{}}} {
		e.is(kvdb.ErrInvalidLock, kvdb.TxGuard(e.tx(), wrong))
	}
	over := e.tx()
	e.NoError(over.Commit())
	e.is(kvdb.ErrIllegal, kvdb.TxGuard(over, e.lock(e.kv, "lock", "me")))
}
