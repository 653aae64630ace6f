package engine

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// committing is a fake store with transactions.
type committing struct{ *fake }

func (committing) Commit(context.Context, []driver.Read, []driver.Write, []driver.Lease) error {
	return nil
}

// A transaction's size is the sum of its keys and values.
func TestTransactionTooLarge(t *testing.T) {
	kv := open(t, &fake{profile: driver.Profile{MaxTxBytes: 20}}, nil)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	_, err = tx.Put("k", "123456789012", 0) // "domain/k" has 8 bytes
	require.NoError(t, err)
	require.NoError(t, tx.Prepare())
	_, err = tx.Put("k", "1234567890123", 0)
	require.NoError(t, err)
	for _, err := range []error{tx.Prepare(), tx.Commit()} {
		require.ErrorIs(t, err, kvdb.ErrTooLarge)
		require.ErrorContains(t, err, "21")
		require.ErrorContains(t, err, "20")
	}
	require.NoError(t, kv.Close())
}

// A Transactor that does not declare Profile.TxDeletes gets no deletion, which it would not
// recognize.
func TestTransactionWithoutDeletions(t *testing.T) {
	kv := open(t, committing{&fake{}}, nil)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	require.Equal(t, kvdb.ErrNotSupported, kvdb.TxDelete(tx, "a"))
	require.NoError(t, tx.Commit())
	require.Equal(t, kvdb.ErrIllegal, kvdb.TxDelete(tx, "a"))
	require.NoError(t, kv.Close())
}

// A lock that guards a transaction is one of its operations.
func TestTransactionWithTooManyGuards(t *testing.T) {
	f := &fake{profile: driver.Profile{MaxTxOps: 2}}
	f.lock = func(context.Context, string, string, time.Duration) (driver.Lease, error) { return newFakeLease(), nil }
	kv := open(t, committing{f}, nil)
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	_, err = tx.Put("a", "", 0)
	require.NoError(t, err)
	require.NoError(t, kvdb.TxGuard(tx, lock))
	require.NoError(t, tx.Prepare())
	_, err = tx.Put("b", "", 0)
	require.NoError(t, err)
	for _, err := range []error{tx.Prepare(), tx.Commit()} {
		require.ErrorIs(t, err, kvdb.ErrTooLarge)
		require.ErrorContains(t, err, "3")
	}
	require.Equal(t, kvdb.ErrIllegal, tx.Prepare(), "a Commit that fails also ends the transaction")
	require.Equal(t, kvdb.ErrIllegal, tx.Abort())
	require.NoError(t, kv.Close())
}

// A transaction whose lock is lost is not sent to the store.
func TestTransactionWithALostGuard(t *testing.T) {
	lease := newFakeLease()
	f := &fake{}
	f.lock = func(context.Context, string, string, time.Duration) (driver.Lease, error) { return lease, nil }
	kv := open(t, committing{f}, nil)
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	require.NoError(t, kvdb.TxGuard(tx, lock))
	close(lease.lost)
	require.Equal(t, kvdb.ErrInvalidLock, tx.Commit())
	require.NoError(t, kv.Close())
}

// The last write to a key in a transaction replaces the earlier ones, including their TTL.
func TestTransactionReplacesTTL(t *testing.T) {
	kv := open(t, &fake{}, nil)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	for _, ttl := range []uint64{60, 30, 0} {
		put, err := tx.Put("key", "", ttl)
		require.NoError(t, err)
		require.EqualValues(t, ttl, put.TTL)
		got, err := tx.Get("key")
		require.NoError(t, err)
		require.EqualValues(t, ttl, got.TTL)
	}
	require.NoError(t, kv.Close())
}
