package kvdb_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/wrappers"
)

func TestPing(t *testing.T) {
	kv, err := mem.New("domain", nil, nil, nil)
	require.NoError(t, err)
	require.NoError(t, kvdb.Ping(t.Context(), kv))
	_, err = kv.Put("_kvdb-ping", "value", 0)
	require.NoError(t, err)
	require.NoError(t, kvdb.Ping(t.Context(), kv), "whether the key exists or not")

	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("reason")
	cancel(reason)
	err = kvdb.Ping(ctx, kv)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, reason)

	noQuorum, err := wrappers.NewNoKvdbQuorumWrapper(kv, nil)
	require.NoError(t, err)
	require.Equal(t, kvdb.ErrNoQuorum, kvdb.Ping(t.Context(), noQuorum))

	require.NoError(t, kvdb.Close(noQuorum))
	require.Equal(t, kvdb.ErrClosed, kvdb.Ping(t.Context(), kv))
}
