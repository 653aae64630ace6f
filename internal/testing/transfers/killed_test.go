package transfers

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/transfer"
)

// ring are pairs in which each store, except mem, is a source and a target.
var ring = [][2]string{{"bolt", "etcd v3"}, {"etcd v3", "Consul"}, {"Consul", "ZooKeeper"}, {"ZooKeeper", "etcd v2"}, {"etcd v2", "bolt"}, {"bolt", "bolt"}}

// selected returns the pairs of stores that a test takes.
func selected() (pairs [][2]kind) {
	for _, from := range kinds {
		for _, to := range kinds {
			if from.backend == mem.Name || to.backend == mem.Name { // which do not outlive the copier
				continue
			}
			chosen := *all
			for _, names := range ring {
				chosen = chosen || names == [2]string{from.name, to.name}
			}
			if chosen {
				pairs = append(pairs, [2]kind{from, to})
			}
		}
	}
	return pairs
}

// A copier is killed at random moments, and started again with its state file, while two
// programs write. The last one ends with both sides equal.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes, because the locks of killed copiers must expire")
	}
	kills := 4
	if *all {
		kills = 20
	}
	for _, pair := range selected() {
		from, to := pair[0], pair[1]
		t.Run(from.name+" to "+to.name, func(t *testing.T) {
			t.Parallel()
			j := job{
				Source: from.place(t, from.cluster(t)), Target: to.place(t, to.cluster(t)), TTL: options(to).TTL,
				StateFile: filepath.Join(t.TempDir(), "state.json"), Follow: true,
			}
			source, target := j.Source.mustOpenFor(t), j.Target.mustOpenFor(t)
			seed(t, source.kv, target.kv, from, 3000)
			source.leave(t)
			target.leave(t)
			var writing *writers
			if from.backend != bolt.Name { // whose file only the child has
				writing = startWriters(t, source.kv, from)
			}
			for range kills {
				c := startChild(t, j)
				line, ok := c.await(string(transfer.PhaseBase), string(transfer.PhaseTail))
				require.True(t, ok, "the child must begin")
				wait := time.Duration(rand.Int64N(int64(time.Second)))
				time.Sleep(wait) // the random moment
				c.kill(t)
				t.Logf("killed %v after %s began", wait, line)
			}
			if writing != nil {
				writing.end()
			}
			source.enter(t)
			target.enter(t)
			o := options(to)
			o.StateFile = j.StateFile
			r, err := transfer.Copy(t.Context(), source.kv, target.kv, o)
			require.NoError(t, err)
			require.Equal(t, r.Source, r.Target)
			requireEqual(t, source.kv, target.kv, to)
		})
	}
}

// side is an instance that is closed while a child needs the file.
type side struct {
	place
	kv kvdb.Kvdb
}

func (p place) mustOpenFor(t *testing.T) *side {
	s := &side{place: p}
	kv, err := p.open()
	require.NoError(t, err)
	s.kv = kv
	t.Cleanup(func() { require.NoError(t, kvdb.Close(s.kv)) })
	return s
}

func (s *side) leave(t *testing.T) {
	if s.Path != "" {
		require.NoError(t, kvdb.Close(s.kv))
	}
}

func (s *side) enter(t *testing.T) {
	if s.Path != "" {
		kv, err := s.open()
		require.NoError(t, err)
		s.kv = kv
	}
}

// A copier is stopped for longer than its lock lives. Another one takes over and ends. When the
// first one wakes up it writes nothing, though the source has changed.
func TestStopped(t *testing.T) {
	for _, to := range kinds {
		if to.start == nil {
			continue // its lock lives as long as the process
		}
		t.Run(to.name, func(t *testing.T) {
			t.Parallel()
			cluster := to.cluster(t)
			j := job{Source: to.place(t, cluster), Target: to.place(t, cluster), TTL: options(to).TTL, Follow: true}
			source, target := j.Source.mustOpen(t), j.Target.mustOpen(t)
			seed(t, source, target, to, 1000)
			writing := startWriters(t, source, to)
			stopped := startChild(t, j)
			_, ok := stopped.await(string(transfer.PhaseTail))
			require.True(t, ok, "the child must begin")
			time.Sleep(time.Duration(rand.Int64N(int64(time.Second)))) // a random moment
			stopped.signal(t, syscall.SIGSTOP)
			o := options(to)
			o.LockWait = patience
			_, err := transfer.Copy(t.Context(), source, target, withCutOver(o, writing))
			require.NoError(t, err)
			requireEqual(t, source, target, to)
			_, err = target.Put("tree/00001", "of a program that uses the target now", 0)
			require.NoError(t, err)
			for _, key := range []string{"tree/00001", "tree/new"} {
				_, err = source.Put(key, "too late", 0)
				require.NoError(t, err)
			}
			before := moment(t, target)
			stopped.signal(t, syscall.SIGCONT)
			line, ok := stopped.await("")
			for ok && line[:min(len(line), 6)] != "error:" {
				line, ok = stopped.await("")
			}
			require.True(t, ok, "the child must end with an error")
			t.Log("the copier that was stopped: ", line)
			require.Empty(t, changed(before, moment(t, target)))
		})
	}
}

// withCutOver returns options with a cut-over that ends the writers.
func withCutOver(o transfer.Options, w *writers) transfer.Options {
	o.CutOver = func(context.Context) error { w.end(); return nil }
	return o
}

// moment returns the pairs of a store that do not expire, with their indexes.
func moment(t *testing.T, kv kvdb.Kvdb) map[string]uint64 {
	pairs := map[string]uint64{}
	for pair, err := range kvdb.PairsWith(kv, "", kvdb.PageOptions{Hidden: true, TTL: true}) {
		require.NoError(t, err)
		if pair.TTL == 0 {
			pairs[pair.Key] = pair.ModifiedIndex
		}
	}
	return pairs
}
