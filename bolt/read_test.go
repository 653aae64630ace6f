package bolt

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// largeSize is a number of keys for which the tree of the file is one level deeper than for
// 1000 keys.
var largeSize = flag.Int("kvdb.keys", 20_000,
	"keys in the large file of the tests that compare two sizes; the documentation promises 100000")

// countingCursor counts the keys that a scan visits.
type countingCursor struct {
	cursor
	steps int
}

func (c *countingCursor) Seek(key []byte) (k, v []byte) {
	c.steps++
	return c.cursor.Seek(key)
}

func (c *countingCursor) Next() (k, v []byte) {
	c.steps++
	return c.cursor.Next()
}

var someValue = bytes.Repeat([]byte("v"), 127)

// dirKey returns the i-th key. A directory has 100 of them.
func dirKey(i int) string { return fmt.Sprintf("dir%04d/key%02d", i/100, i%100) }

// fill writes n keys in directories of 100.
func fill(t testing.TB, s *store, n int) {
	t.Helper()
	var writes []driver.Write
	for i := range n {
		writes = append(writes, driver.Write{Key: dirKey(i), Value: someValue})
	}
	writeAll(t, s, writes)
}

// writeAll writes in transactions of moderate size, because bbolt is slow with large ones.
func writeAll(t testing.TB, s *store, writes []driver.Write) {
	t.Helper()
	for some := range slices.Chunk(writes, 1000) {
		require.NoError(t, s.Commit(context.Background(), nil, some, nil))
	}
}

// The cost of a scan depends on the number of keys that it finds, not on that of other
// keys.
func TestScanCost(t *testing.T) {
	for _, n := range []int{1000, *largeSize} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			db := openDatabase(t, tempFile(t))
			fill(t, newStore(db), n)
			count := func(f func(s *scan) error) int {
				c := &countingCursor{}
				require.NoError(t, db.view(func(tx *bbolt.Tx) error {
					s := db.newScan(context.Background(), tx.Bucket(pairsBucket))
					c.cursor, s.c = s.c, c
					return f(s)
				}))
				return c.steps
			}
			var page driver.Page
			require.Equal(t, 101, count(func(s *scan) error { return s.list(&page, "dir0005/", driver.ListOptions{}) }))
			require.Len(t, page.Pairs, 100)
			page = driver.Page{}
			require.Equal(t, 11, count(func(s *scan) error {
				return s.list(&page, "dir", driver.ListOptions{Limit: 10, From: "dir0003/key50"})
			}))
			require.Len(t, page.Pairs, 10)
			require.Equal(t, "dir0003/key50", page.Pairs[0].Key)
			var names []string
			steps := count(func(s *scan) (err error) { names, err = s.children("", "/"); return err })
			require.Len(t, names, n/100)
			require.Equal(t, n/100+1, steps, "one seek for each name")
		})
	}
}

// The allocations for one key grow only with the depth of bbolt's tree.
func TestAllocationsDoNotGrow(t *testing.T) {
	measure := func(n int) (get, list, children float64) {
		s := newStore(openDatabase(t, tempFile(t)))
		fill(t, s, n)
		ctx := context.Background()
		run := func(f func() error) float64 {
			return testing.AllocsPerRun(20, func() { require.NoError(t, f()) })
		}
		get = run(func() error { _, err := s.Get(ctx, "dir0005/key50"); return err })
		list = run(func() error { _, err := s.List(ctx, "dir0005/", driver.ListOptions{}); return err })
		children = run(func() error { _, err := s.Children(ctx, "dir0005/", "/"); return err })
		return get, list, children
	}
	get, list, children := measure(1000)
	largeGet, largeList, largeChildren := measure(*largeSize)
	require.LessOrEqual(t, largeGet, get+2)
	require.LessOrEqual(t, largeList, list+2)
	require.LessOrEqual(t, largeChildren, children+2)
	require.Less(t, list, 30.0, "a list of 100 does not allocate each pair")
}

func TestScanObeysItsContext(t *testing.T) {
	s := newStore(openDatabase(t, tempFile(t)))
	fill(t, s, 10*ctxSteps)
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("reason")
	cancel(reason)
	_, err := s.List(ctx, "", driver.ListOptions{})
	require.ErrorIs(t, err, reason)
	_, err = s.Children(ctx, "dir0005/", "/")
	require.NoError(t, err, "a short scan completes")
	_, _, err = s.Snapshot(ctx, []string{""}, false)
	require.ErrorIs(t, err, reason)
	require.ErrorIs(t, s.DeletePrefix(ctx, ""), reason)
	page, err := s.List(context.Background(), "", driver.ListOptions{})
	require.NoError(t, err)
	require.Len(t, page.Pairs, 10*ctxSteps)
}

func TestListInPages(t *testing.T) {
	s := newStore(openDatabase(t, tempFile(t)))
	fill(t, s, 500)
	for _, limit := range []int{1, 63, 64, 65, 100, 499, 500, 501, 0} {
		var keys []string
		for o := (driver.ListOptions{Limit: limit}); ; {
			page, err := s.List(context.Background(), "dir", o)
			require.NoError(t, err)
			for _, pair := range page.Pairs {
				require.Equal(t, someValue, pair.Value)
				require.Equal(t, uint64(len(keys)+1), pair.ModifiedIndex)
				keys = append(keys, pair.Key)
			}
			if !page.More {
				break
			}
			require.Len(t, page.Pairs, limit)
			o.From = keys[len(keys)-1] + "\x00"
		}
		require.Len(t, keys, 500, "limit %d", limit)
		for i, key := range keys {
			require.Equal(t, dirKey(i), key, "limit %d", limit)
		}
	}
}

// A caller may change a returned pair, and other callers do not see the change.
func TestPairsAreCopies(t *testing.T) {
	s := newStore(openDatabase(t, tempFile(t)))
	fill(t, s, 200)
	for range 2 {
		page, err := s.List(context.Background(), "", driver.ListOptions{})
		require.NoError(t, err)
		for _, pair := range page.Pairs {
			require.Equal(t, someValue, pair.Value)
			pair.Value[0] = 'x'
			pair.Value = append(pair.Value, 'y')
		}
		pair, err := s.Get(context.Background(), "dir0001/key01")
		require.NoError(t, err)
		require.Equal(t, someValue, pair.Value)
		pair.Value[0] = 'x'
	}
}

// The value in a delete event is a copy, because bbolt overwrites the pages that it was
// read from.
func TestDeletedValuesAreCopies(t *testing.T) {
	kv := openAt(t, tempFile(t))
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 8<<10) }
	const n = 20
	for i := range n {
		_, err := kv.Put("key", value(i), 0)
		require.NoError(t, err)
		_, err = kv.Delete("key")
		require.NoError(t, err)
	}
	deleted := make(chan *kvdb.KVPair, n)
	require.NoError(t, kv.WatchKey("key", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil && pair.Action == kvdb.KVDelete {
			deleted <- pair
		}
		return err
	}))
	within(t, 20*time.Second, func() {
		for i := range n {
			require.True(t, bytes.Equal(value(i), (<-deleted).Value), i)
		}
	})
}
