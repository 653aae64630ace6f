package kvdb_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// guarded returns a transaction that writes key and is tied to lock.
func guarded(t *testing.T, kv kvdb.Kvdb, lock *kvdb.KVPair, key string) kvdb.Tx {
	tx, err := kv.TxNew()
	require.NoError(t, err)
	require.NoError(t, kvdb.TxGuard(tx, lock))
	_, err = tx.Put(key, "", 0)
	require.NoError(t, err)
	return tx
}

func TestTxGuard(t *testing.T) {
	kv := newMem(t, nil)
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	require.NoError(t, guarded(t, kv, lock, "while held").Commit())
	_, err = kv.Get("while held")
	require.NoError(t, err)

	late := guarded(t, kv, lock, "late")
	require.NoError(t, kv.Unlock(lock))
	again, err := kv.Lock("lock")
	require.NoError(t, err)
	require.Equal(t, kvdb.ErrInvalidLock, late.Commit(), "another owner holds the lock")
	_, err = kv.Get("late")
	require.Equal(t, kvdb.ErrNotFound, err)
	require.Greater(t, again.Lock.(kvdb.HeldLock).Token(), lock.Lock.(kvdb.HeldLock).Token())
}

func TestTxGuardIllegal(t *testing.T) {
	kv, other := newMem(t, nil), newMem(t, nil)
	foreign, err := other.Lock("lock")
	require.NoError(t, err)
	plain, err := kv.Put("a", "", 0)
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	for _, lock := range []*kvdb.KVPair{nil, {}, plain, foreign} {
		require.Equal(t, kvdb.ErrInvalidLock, kvdb.TxGuard(tx, lock))
	}
	require.NoError(t, tx.Commit(), "a lock that TxGuard refused does not guard the transaction")

	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	require.Equal(t, kvdb.ErrIllegal, kvdb.TxGuard(tx, lock), "the transaction is over")
	require.Equal(t, kvdb.ErrNotSupported, kvdb.TxGuard(struct{ kvdb.Tx }{tx}, lock), "a transaction that is not a TxGuarder")
}
