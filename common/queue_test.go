package common

import (
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

func TestQueueKeepsOrder(t *testing.T) {
	q := NewWatchUpdateQueue()
	broken := errors.New("broken")
	pair := &kvdb.KVPair{Key: "a"}
	q.Enqueue("prefix", pair, nil)
	q.Enqueue("", nil, broken)
	for i := range 1000 {
		q.Enqueue(strconv.Itoa(i), nil, nil)
	}

	key, kvp, err := q.Dequeue()
	require.Equal(t, "prefix", key)
	require.Same(t, pair, kvp)
	require.NoError(t, err)
	key, kvp, err = q.Dequeue()
	require.Empty(t, key)
	require.Nil(t, kvp)
	require.Same(t, broken, err)
	for i := range 1000 {
		key, _, _ = q.Dequeue()
		require.Equal(t, strconv.Itoa(i), key)
	}
}

// The queue keeps no reference to an element that was removed.
func TestQueueKeepsNoReference(t *testing.T) {
	q := NewWatchUpdateQueue()
	for range 3 {
		q.Enqueue("", &kvdb.KVPair{Value: make([]byte, 1<<10)}, nil)
	}
	_, kvp, _ := q.Dequeue()
	taken := weak.Make(kvp)
	kvp = nil
	runtime.GC()
	require.Nil(t, taken.Value())
	runtime.KeepAlive(q)
}

// Dequeue waits while the queue is empty, and each Enqueue ends the wait of one Dequeue.
func TestQueueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewWatchUpdateQueue()
		got := make(chan string, 2)
		for range 2 {
			go func() {
				key, _, _ := q.Dequeue()
				got <- key
			}()
		}
		synctest.Wait()
		require.Empty(t, got)
		q.Enqueue("a", nil, nil)
		synctest.Wait()
		require.Len(t, got, 1)
		q.Enqueue("b", nil, nil)
		synctest.Wait()
		require.Equal(t, []string{"a", "b"}, []string{<-got, <-got})
	})
}

// Each element of several producers comes out once, those of one producer in order.
func TestQueueConcurrently(t *testing.T) {
	const producers, each = 8, 500
	q := NewWatchUpdateQueue()
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				q.Enqueue(strconv.Itoa(p), &kvdb.KVPair{ModifiedIndex: uint64(i)}, nil)
			}
		})
	}
	next := map[string]uint64{}
	for range producers * each {
		key, kvp, err := q.Dequeue()
		require.NoError(t, err)
		require.Equal(t, next[key], kvp.ModifiedIndex)
		next[key]++
	}
	wg.Wait()
	require.Len(t, next, producers)
}
