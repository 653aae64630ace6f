package transfer_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
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

// A state that is older than the history of the source makes the copy start over. A file that
// is not a state is reported.
func TestCopyStateIsOld(t *testing.T) {
	source, target := open(t, mem.Name, "domain", map[string]string{mem.KvHistory: "2"}), openBolt(t)
	file := filepath.Join(t.TempDir(), "state.json")
	fill(t, source, "tree", 500)
	ctx, cancel := context.WithCancel(t.Context())
	o := transfer.Options{Delete: true, StateFile: file, CutOver: func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}}
	_, err := transfer.Copy(ctx, source, target, o)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, source.DeleteTree("tree"))
	put(t, source, "other", "x", 0)
	var failed []error
	started := make(chan struct{}, 2)
	o.OnError = func(err error) {
		failed = append(failed, err)
		started <- struct{}{}
	}
	o.CutOver = func(context.Context) error { <-started; return nil }
	r, err := transfer.Copy(t.Context(), source, target, o)
	require.NoError(t, err)
	requireEqual(t, r, source, target)
	require.Equal(t, 1, r.Restarts)
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed[0], kvdb.ErrWatchRevisionCompacted)

	put(t, target, transfer.ReservedPrefix, "of a copy that was killed", 0)
	require.NoError(t, os.WriteFile(file, []byte("not JSON"), 0o600))
	r, err = transfer.Copy(t.Context(), source, target, o)
	require.NoError(t, err)
	requireEqual(t, r, source, target)
	require.Len(t, failed, 2)
	require.ErrorContains(t, failed[1], file)
}
