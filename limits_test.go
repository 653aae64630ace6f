package kvdb_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// reporting is a store that reports its limits.
type reporting struct {
	bareStore
	limits kvdb.Limits
}

func (r *reporting) Limits() kvdb.Limits { return r.limits }

func TestLimitsOf(t *testing.T) {
	require.Equal(t, kvdb.Limits{}, kvdb.LimitsOf(nil))
	require.Equal(t, kvdb.Limits{}, kvdb.LimitsOf(&bareStore{}))
	store := &reporting{limits: kvdb.Limits{MaxValue: 7}}
	require.Equal(t, store.limits, kvdb.LimitsOf(store))
	require.Equal(t, store.limits, kvdb.LimitsOf(&link{Kvdb: &link{Kvdb: store}}))
	require.Equal(t, 3*(4+5)+512+6, kvdb.Limits{DomainBytes: 4}.TxBytes("abcde", make([]byte, 6)))
}

// Limits are known behind wrappers, and in views and snapshots.
func TestLimitsOfWrappedStores(t *testing.T) {
	options := logOptions(t)
	options[kvdb.WrappersOption] = string(kvdb.Wrapper_Log)
	kv := newMem(t, options)
	snapshot, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	noQuorum, err := kvdb.AddWrapper(kvdb.Wrapper_NoQuorum, kv, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kv := range []kvdb.Kvdb{kv, kvdb.WithContext(ctx, kv), noQuorum, snapshot} {
		l := kvdb.LimitsOf(kv)
		require.NotZero(t, l.MaxTTL)
		stored, err := l.CheckKey("a")
		require.NoError(t, err)
		require.Equal(t, "a", stored)
		_, err = l.CheckKey("")
		require.True(t, errors.Is(err, kvdb.ErrIllegal))
	}
	_, err = kvdb.RemoveWrapper(kvdb.Wrapper_NoQuorum, noQuorum)
	require.NoError(t, err)
}
