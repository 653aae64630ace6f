package transfer_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/transfer"
)

// phases returns the phases of a copy, and what it returns.
func phases(t *testing.T, ctx context.Context, source, target kvdb.Kvdb, o transfer.Options) ([]transfer.Phase, error) {
	var seen []transfer.Phase
	o.Progress = func(p transfer.Progress) { seen = append(seen, p.Phase) }
	o.OnError = func(err error) { t.Errorf("unexpected: %v", err) }
	_, err := transfer.Copy(ctx, source, target, o)
	return slices.Compact(seen), err
}

// A copy that was interrupted continues by its state file, if it is the last that used the
// target.
func TestCopyState(t *testing.T) {
	source, target := openMem(t), openBolt(t)
	file := filepath.Join(t.TempDir(), "state.json")
	fill(t, source, "tree", 1000)
	interrupted := func() {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := transfer.Copy(ctx, source, target, transfer.Options{Delete: true, StateFile: file, CutOver: func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}})
		require.ErrorIs(t, err, context.Canceled)
		require.FileExists(t, file)
		put(t, source, "later", "x", 0)
		_, err = source.Delete("tree/000500")
		require.NoError(t, err)
	}
	whole := []transfer.Phase{transfer.PhaseCheck, transfer.PhaseBase, transfer.PhaseTail, transfer.PhaseVerify, transfer.PhaseDone}
	continued := slices.Delete(slices.Clone(whole), 1, 2)
	interrupted()
	seen, err := phases(t, t.Context(), source, target, transfer.Options{Delete: true, StateFile: file})
	require.NoError(t, err)
	require.Equal(t, continued, seen)
	require.Empty(t, differences(t, source, target, transfer.CompareOptions{}))
	require.NoFileExists(t, file)

	put(t, source, "tree/000500", "again", 0)
	interrupted()
	_, err = transfer.Copy(t.Context(), source, target, transfer.Options{Delete: true})
	require.NoError(t, err)
	put(t, target, "tree/000001", "changed meanwhile", 0)
	seen, err = phases(t, t.Context(), source, target, transfer.Options{Delete: true, StateFile: file})
	require.NoError(t, err)
	require.Equal(t, whole, seen)
	require.Empty(t, differences(t, source, target, transfer.CompareOptions{}))
}
