package election

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) kvdb.Kvdb {
	kv, err := mem.New("domain", nil, nil, func(err error, _ string, _ ...interface{}) { t.Errorf("fatal callback: %v", err) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

func put(t *testing.T, kv kvdb.Kvdb, value string) *kvdb.KVPair {
	pair, err := kv.Put("_elected.key", value, 0)
	require.NoError(t, err)
	return pair
}

func TestRecordKey(t *testing.T) {
	for key, want := range map[string]string{"key": "_elected.key", "a/b/key": "a/b/_elected.key", "a/": "a/_elected."} {
		require.Equal(t, want, recordKey(key))
	}
}

// The record of a former leader replaces neither that of a later one nor its resignation.
func TestFormerLeader(t *testing.T) {
	kv := open(t)
	for range 20 {
		put(t, kv, `{"token":0}`)
	}
	first, err := publish(t.Context(), kv, "_elected.key", Leader{"first", 5})
	require.NoError(t, err)
	second, err := publish(t.Context(), kv, "_elected.key", Leader{"second", 9})
	require.NoError(t, err)
	for _, retracted := range []bool{false, true} {
		_, err = publish(t.Context(), kv, "_elected.key", Leader{"first", 5})
		require.ErrorIs(t, err, errOutdated)
		require.ErrorIs(t, retract(kv, first), kvdb.ErrModified)
		r, _, err := read(kv, "_elected.key")
		require.NoError(t, err)
		require.EqualValues(t, 9, r.Token)
		require.Equal(t, !retracted, r.ID == "second")
		if !retracted {
			require.NoError(t, retract(kv, second))
		}
	}
	_, err = publish(t.Context(), kv, "_elected.key", Leader{"third", 10})
	require.NoError(t, err)
}

// A record that was copied from another store, where indexes were larger, neither counts nor
// keeps a candidate from leading.
func TestCopiedRecord(t *testing.T) {
	kv := open(t)
	put(t, kv, `{"id":"me","token":1000}`)
	lock, err := kv.LockWithID("key", "me")
	require.NoError(t, err)
	leader, err := Current(kv, "key")
	require.NoError(t, err)
	require.Zero(t, leader)
	require.NoError(t, kv.Unlock(lock))
	led := false
	require.NoError(t, Run(t.Context(), kv, "key", "me", func(context.Context, Term) error { led = true; return nil }))
	require.True(t, led)
}

// A record that is not one is an error that names it.
func TestForeignRecord(t *testing.T) {
	kv := open(t)
	put(t, kv, "no record")
	_, err := Current(kv, "key")
	require.ErrorIs(t, err, kvdb.ErrUnmarshal)
	require.ErrorContains(t, err, `"_elected.key"`)
	require.ErrorIs(t, Run(t.Context(), kv, "key", "me", nil), kvdb.ErrUnmarshal)
	locked, _, err := kv.IsKeyLocked("key")
	require.NoError(t, err)
	require.False(t, locked, "a candidate that cannot lead releases the lock")
	n := 0
	for _, err := range Observe(t.Context(), kv, "key") {
		require.ErrorIs(t, err, kvdb.ErrUnmarshal)
		n++
	}
	require.Equal(t, 1, n)
}

// Errors that waiting does not cure end Run.
func TestPermanentErrors(t *testing.T) {
	kv := open(t)
	require.ErrorIs(t, Run(t.Context(), kv, "", "me", nil), kvdb.ErrIllegal)
	require.NoError(t, kvdb.Close(kv))
	require.ErrorIs(t, Run(t.Context(), kv, "key", "me", nil), kvdb.ErrClosed)
	n := 0
	for _, err := range Observe(t.Context(), kv, "key") {
		require.ErrorIs(t, err, kvdb.ErrClosed)
		n++
	}
	require.Equal(t, 1, n)
	for _, err := range []error{kvdb.ErrExist, kvdb.ErrNoConnection, kvdb.ErrNoQuorum, errOutdated} {
		require.True(t, isTransient(fmt.Errorf("call: %w", err)))
	}
}
