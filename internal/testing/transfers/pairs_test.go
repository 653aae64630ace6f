package transfers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/transfer"
	"github.com/portworx/kvdb/zookeeper"
)

// A copy between any two stores, under two writers, carries what the target can hold: values,
// hidden keys, TTLs, deletions. Stale keys of the target are gone. The digests are equal.
func TestAllPairs(t *testing.T) {
	clusters := map[string]*servers.Cluster{}
	for _, k := range kinds {
		clusters[k.name] = k.cluster(t)
	}
	t.Run("pairs", func(t *testing.T) {
		for _, from := range kinds {
			for _, to := range kinds {
				t.Run(from.name+" to "+to.name, func(t *testing.T) {
					t.Parallel()
					source, target := from.place(t, clusters[from.name]).mustOpen(t), to.place(t, clusters[to.name]).mustOpen(t)
					copyUnderWrites(t, source, target, from, to)
				})
			}
		}
	})
}

// copyUnderWrites copies while two programs write to the source.
func copyUnderWrites(t *testing.T, source, target kvdb.Kvdb, from, to kind) {
	seed(t, source, target, from, 500)
	writing := startWriters(t, source, from)
	o := options(to)
	o.CutOver = func(ctx context.Context) error {
		select {
		case <-time.After(2 * time.Second): // the time of the writes
		case <-ctx.Done():
		}
		writing.end()
		return nil
	}
	o.OnError = func(err error) {
		if from.backend == zookeeper.Name && errors.Is(err, kvdb.ErrNoConnection) {
			t.Log(err) // under writes it may find no moment to read
			return
		}
		t.Errorf("unexpected: %v", err)
	}
	r, err := transfer.Copy(t.Context(), source, target, o)
	require.NoError(t, err)
	require.Equal(t, r.Source, r.Target)
	require.Zero(t, r.TargetOnly)
	requireEqual(t, source, target, to)
	t.Logf("%d written, %d deleted, %d skipped, %d passes, %d pairs", r.Written, r.Deleted, r.Skipped, r.Passes, r.Source.Pairs)
}

// A program cannot copy a domain over itself, on any store.
func TestOverlap(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			p := k.place(t, k.cluster(t))
			inner := p
			inner.Domain += "/inner"
			outerKV := p.mustOpen(t)
			sides := [][2]kvdb.Kvdb{{outerKV, outerKV}}
			if k.backend != mem.Name { // whose instances are stores of their own
				innerKV := inner.mustOpen(t)
				sides = append(sides, [2]kvdb.Kvdb{outerKV, innerKV}, [2]kvdb.Kvdb{innerKV, outerKV}, [2]kvdb.Kvdb{p.mustOpen(t), outerKV})
			}
			for _, side := range sides {
				_, err := transfer.Copy(t.Context(), side[0], side[1], transfer.Options{})
				require.ErrorIs(t, err, transfer.ErrOverlap)
				require.Empty(t, content(t, outerKV))
			}
		})
	}
}
