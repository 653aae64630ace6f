package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/transfer"
)

// patience is how long a test waits for something that must happen.
const patience = time.Minute

// directions are the pairs of stores in process.
var directions = []struct {
	name           string
	source, target func(testing.TB) kvdb.Kvdb
}{
	{"mem to bolt", openMem, openBolt}, {"bolt to mem", openBolt, openMem},
	{"mem to mem", openMem, openMem}, {"bolt to bolt", openBolt, openBolt},
}

// requireEqual asserts that a copy has made both sides equal, and that its receipt says so.
func requireEqual(t *testing.T, r transfer.Receipt, source, target kvdb.Kvdb) {
	t.Helper()
	require.Empty(t, differences(t, source, target, transfer.CompareOptions{TTL: true}))
	require.Equal(t, r.Source, r.Target)
	require.Equal(t, sum(t, target, ""), r.Target)
	require.Equal(t, sum(t, source, "").Pairs, r.Source.Pairs+r.Skipped)
	require.NotEmpty(t, r.NotCarried)
	require.False(t, r.Ended.Before(r.Began))
	leavesNothing(t, target)
}

// leavesNothing asserts that the keys of copies are gone.
func leavesNothing(t *testing.T, kv kvdb.Kvdb) {
	t.Helper()
	for pair, err := range kvdb.PairsWith(kv, "", kvdb.PageOptions{Hidden: true}) {
		require.NoError(t, err)
		require.NotContains(t, pair.Key, transfer.ReservedPrefix)
	}
	held, owner, err := kv.IsKeyLocked(transfer.ReservedPrefix + "-lock")
	require.NoError(t, err)
	require.False(t, held, owner)
}

// A copy carries values, hidden keys and TTLs. What only the target has is counted, and
// deleted if the caller asks for it.
func TestCopy(t *testing.T) {
	for _, d := range directions {
		t.Run(d.name, func(t *testing.T) {
			source, target := d.source(t), d.target(t)
			fill(t, source, "tree", 2500)
			put(t, source, "tree/_hidden", "h", 0)
			put(t, source, "expires", "soon", 1000)
			put(t, source, "stays", "long", 0)
			put(t, source, "empty", "", 0)
			put(t, target, "tree/000007", "other", 0)
			put(t, target, "expires", "soon", 5)
			put(t, target, "stays", "long", 1000)
			put(t, target, "stale", "x", 0)
			r, err := transfer.Copy(t.Context(), source, target, transfer.Options{})
			require.NoError(t, err)
			require.Equal(t, []string{"stale: none x"}, differences(t, source, target, transfer.CompareOptions{TTL: true}))
			require.Equal(t, []int{1, 0, 2504}, []int{r.TargetOnly, r.Deleted, r.Source.Pairs})
			require.Equal(t, r.Source, r.Target)
			left, has, err := kvdb.TTLOf(target, "expires")
			require.NoError(t, err)
			require.True(t, has)
			require.InDelta(t, 1000, left.Seconds(), 60)
			r, err = transfer.Copy(t.Context(), source, target, transfer.Options{Delete: true})
			require.NoError(t, err)
			require.Equal(t, []int{0, 1, 2, 1}, []int{r.TargetOnly, r.Deleted, r.Written, r.Passes}, "only the stale pair, and the one that expires")
			requireEqual(t, r, source, target)
		})
	}
}

// A prefix limits what is copied and deleted.
func TestCopyPrefix(t *testing.T) {
	source, target := openMem(t), openBolt(t)
	for _, key := range []string{"a/1", "ab", "b"} {
		put(t, source, key, "source", 0)
	}
	for _, key := range []string{"a/2", "c"} {
		put(t, target, key, "target", 0)
	}
	r, err := transfer.Copy(t.Context(), source, target, transfer.Options{Prefix: "a", Delete: true})
	require.NoError(t, err)
	require.Equal(t, []string{"b: source none", "c: none target"}, differences(t, source, target, transfer.CompareOptions{}))
	require.Equal(t, 2, r.Source.Pairs)
}

// TTLs are kept, dropped or refused.
func TestCopyTTL(t *testing.T) {
	source, target := openMem(t), openBolt(t)
	put(t, source, "key", "x", 1000)
	_, err := transfer.Copy(t.Context(), source, target, transfer.Options{TTL: "other"})
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	_, err = transfer.Copy(t.Context(), source, target, transfer.Options{TTL: transfer.TTLFail})
	require.ErrorIs(t, err, transfer.ErrIncompatible)
	var incompatible *transfer.IncompatibleError
	require.ErrorAs(t, err, &incompatible)
	require.Equal(t, 1, incompatible.Total)
	require.Equal(t, "key", incompatible.Problems[0].Key)
	require.ErrorIs(t, incompatible.Problems[0].Err, kvdb.ErrTTLNotSupported)
	_, err = target.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err)
	for mode, want := range map[transfer.TTLMode]bool{transfer.TTLDrop: false, transfer.TTLKeep: true} {
		r, err := transfer.Copy(t.Context(), source, target, transfer.Options{TTL: mode})
		require.NoError(t, err)
		_, has, err := kvdb.TTLOf(target, "key")
		require.NoError(t, err)
		require.Equal(t, want, has)
		require.Equal(t, !want, strings.Contains(strings.Join(r.NotCarried, "\n"), "TTLs"))
	}
}

// Pairs that the target cannot hold are listed before anything is written, or left out. They
// are also found when they come while the copy runs.
func TestCopyIncompatible(t *testing.T) {
	source, target := openMem(t), openBolt(t)
	long := strings.Repeat("k", 1<<16)
	put(t, source, "good", "x", 0)
	for i := range 150 {
		put(t, source, fmt.Sprint(long, i), "x", 0)
	}
	problems := 0
	for problem, err := range transfer.Preflight(t.Context(), source, target, transfer.Options{}) {
		require.NoError(t, err)
		require.ErrorIs(t, problem.Err, kvdb.ErrIllegal)
		require.True(t, strings.HasPrefix(problem.Key, long))
		problems++
	}
	require.Equal(t, 150, problems)
	_, err := transfer.Copy(t.Context(), source, target, transfer.Options{})
	var incompatible *transfer.IncompatibleError
	require.ErrorAs(t, err, &incompatible)
	require.Equal(t, []int{150, 100}, []int{incompatible.Total, len(incompatible.Problems)})
	require.Empty(t, pairsOf(t, target))
	cutOver := func(context.Context) error { _, err := source.Put(long, "later", 0); return err }
	r, err := transfer.Copy(t.Context(), source, target, transfer.Options{Skip: true, CutOver: cutOver})
	require.NoError(t, err)
	require.Equal(t, 151, r.Skipped)
	require.Equal(t, []string{"good"}, pairsOf(t, target))
	require.NoError(t, source.DeleteTree(""))
	_, err = transfer.Copy(t.Context(), source, target, transfer.Options{CutOver: cutOver})
	require.ErrorIs(t, err, transfer.ErrIncompatible)
	leavesNothing(t, target)
}

// pairsOf returns the keys of a store, hidden ones included.
func pairsOf(t *testing.T, kv kvdb.Kvdb) (keys []string) {
	for pair, err := range kvdb.PairsWith(kv, "", kvdb.PageOptions{Hidden: true}) {
		require.NoError(t, err)
		keys = append(keys, pair.Key)
	}
	return keys
}

// A domain is not copied into itself, into one above it or into one below it.
func TestCopyOverlap(t *testing.T) {
	options := map[string]string{bolt.Path: filepath.Join(t.TempDir(), "test.db")}
	outer, inner, beside := open(t, bolt.Name, "a", options), open(t, bolt.Name, "a/b", options), open(t, bolt.Name, "ab", options)
	whole := open(t, bolt.Name, "", options)
	put(t, outer, "key", "x", 0)
	for _, sides := range [][2]kvdb.Kvdb{{outer, outer}, {outer, inner}, {inner, outer}, {whole, inner}, {inner, whole}} {
		_, err := transfer.Copy(t.Context(), sides[0], sides[1], transfer.Options{})
		require.ErrorIs(t, err, transfer.ErrOverlap)
		leavesNothing(t, whole)
	}
	for _, target := range []kvdb.Kvdb{beside, open(t, mem.Name, "a", nil)} {
		r, err := transfer.Copy(t.Context(), outer, target, transfer.Options{})
		require.NoError(t, err)
		requireEqual(t, r, outer, target)
	}
}

// writer writes, deletes and creates keys with and without TTLs until ctx ends.
func writer(ctx context.Context, t *testing.T, kv kvdb.Kvdb, seed uint64) {
	random := rand.New(rand.NewPCG(seed, seed))
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("tree/%06d", random.IntN(300))
		switch random.IntN(8) {
		case 0, 1:
			if _, err := kv.Delete(key); err != nil && !errors.Is(err, kvdb.ErrNotFound) {
				t.Errorf("Delete: %v", err)
			}
			continue
		case 2:
			key = fmt.Sprintf("tree/_hidden%d", random.IntN(10))
		}
		ttl := uint64(0)
		if random.IntN(10) == 0 {
			ttl = uint64(1 + random.IntN(3))
		}
		if _, err := kv.Put(key, fmt.Sprintf("%d-%d", seed, n), ttl); err != nil {
			t.Errorf("Put: %v", err)
		}
	}
}

// While two programs write, a copy follows. After they have stopped, it proves that both sides
// are equal.
func TestCopyCutOver(t *testing.T) {
	for _, d := range directions {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			source, target := d.source(t), d.target(t)
			fill(t, source, "tree", 300)
			fill(t, target, "stale", 20)
			writing, stop := context.WithCancel(t.Context())
			var writers sync.WaitGroup
			for seed := range uint64(2) {
				writers.Go(func() { writer(writing, t, source, seed+1) })
			}
			var phases []transfer.Phase
			r, err := transfer.Copy(t.Context(), source, target, transfer.Options{
				Delete: true,
				CutOver: func(ctx context.Context) error {
					select {
					case <-time.After(2 * time.Second): // the time of the test's writes
					case <-ctx.Done():
					}
					stop()
					writers.Wait()
					return nil
				},
				Progress: func(p transfer.Progress) {
					if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
						phases = append(phases, p.Phase)
					}
				},
				OnError: func(err error) { t.Errorf("unexpected: %v", err) },
			})
			require.NoError(t, err)
			require.Equal(t, []transfer.Phase{transfer.PhaseCheck, transfer.PhaseBase, transfer.PhaseTail, transfer.PhaseVerify, transfer.PhaseDone}, phases)
			require.Equal(t, r.Source, r.Target)
			require.Greater(t, r.Written, 300)
			requireEventuallyEqual(t, source, target)
			leavesNothing(t, target)
		})
	}
}

// requireEventuallyEqual asserts that both sides are equal when what expires has done so.
func requireEventuallyEqual(t *testing.T, source, target kvdb.Kvdb) {
	t.Helper()
	require.Eventually(t, func() bool {
		return len(differences(t, source, target, transfer.CompareOptions{TTL: true})) == 0
	}, patience, 100*time.Millisecond)
}

// Follow applies changes until the context ends, and then returns what it has done. A pair
// that expires at the source is deleted at the target.
func TestCopyFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, target := openMem(t), openMem(t)
		put(t, source, "before", "x", 0)
		put(t, source, "expires", "x", 3600)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		var r transfer.Receipt
		go func() {
			var err error
			r, err = transfer.Copy(ctx, source, target, transfer.Options{Follow: true})
			done <- err
		}()
		synctest.Wait()
		put(t, source, "after", "x", 0)
		_, err := source.Delete("before")
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, []string{"_kvdb-transfer", "after", "expires"}, pairsOf(t, target))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"_kvdb-transfer", "after"}, pairsOf(t, target))
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.GreaterOrEqual(t, r.Written, 5)
		require.Empty(t, r.NotCarried)
		leavesNothing(t, target)
	})
}

// busySource is a hook of the target that writes to the source whenever a list begins.
type busySource struct {
	t      *testing.T
	source kvdb.Kvdb
	n      int
}

func (b *busySource) OnOperationStart(ctx context.Context, op kvdb.Operation) context.Context {
	if op.Name == "enumerate" {
		b.n++
		put(b.t, b.source, "counter", fmt.Sprint(b.n), 0)
	}
	return ctx
}

func (b *busySource) OnOperationEnd(context.Context, kvdb.Operation, kvdb.Outcome, error, time.Duration) {
}

// Without an end of the writes, a copy does not say that both sides are equal.
func TestCopyChanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, target := openMem(t), openMem(t)
		require.NoError(t, kvdb.AddHooks(target, &busySource{t: t, source: source}))
		r, err := transfer.Copy(t.Context(), source, target, transfer.Options{})
		require.ErrorIs(t, err, transfer.ErrChanging)
		require.Equal(t, 20, r.Passes)
	})
}

// One copy at a time writes to a target.
func TestCopyIsAlone(t *testing.T) {
	source, target := openMem(t), openBolt(t)
	put(t, source, "key", "x", 0)
	ready, finish := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := transfer.Copy(t.Context(), source, target, transfer.Options{CutOver: func(context.Context) error {
			close(ready)
			<-finish
			return nil
		}})
		done <- err
	}()
	<-ready
	_, err := transfer.Copy(t.Context(), openMem(t), target, transfer.Options{LockWait: time.Millisecond, Delete: true})
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, "another copy")
	close(finish)
	require.NoError(t, <-done)
	require.Empty(t, differences(t, source, target, transfer.CompareOptions{}))
}

// The error of CutOver ends the copy.
func TestCopyCutOverFails(t *testing.T) {
	source, target := openMem(t), openBolt(t)
	failed := errors.New("failed")
	_, err := transfer.Copy(t.Context(), source, target, transfer.Options{CutOver: func(context.Context) error { return failed }})
	require.ErrorIs(t, err, failed)
	leavesNothing(t, target)
}
