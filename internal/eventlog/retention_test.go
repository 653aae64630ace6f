package eventlog

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// onCollected calls f when the record was collected.
func onCollected(r *tree.Record, f func()) {
	runtime.AddCleanup(r, func(f func()) { f() }, f)
}

// requireCollected waits until all records are collected.
func requireCollected(t *testing.T, collected *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() { collected.Wait(); close(done) }()
	deadline := time.After(20 * time.Second)
	for {
		runtime.GC()
		select {
		case <-done:
			return
		case <-deadline:
			t.Fatal("delivered events are still reachable")
		case <-time.After(time.Millisecond):
		}
	}
}

// Events that were delivered, or that match no watch, can be collected, because only the
// history refers to a record.
func TestOnlyHistoryRetainsEvents(t *testing.T) {
	f := newFeed(1)
	slow := watching(t, f.log, driver.WatchRequest{Key: "slow"})
	done := watching(t, f.log, driver.WatchRequest{Prefix: true})
	f.write("slow")
	var collected sync.WaitGroup
	const others = 1000
	for range others {
		collected.Add(1)
		record := &tree.Record{Value: make([]byte, 100)}
		onCollected(record, collected.Done)
		f.mu.Lock()
		f.index++
		f.log.Append(Event{Key: "other", Action: kvdb.KVSet, Index: f.index, Record: record})
		f.mu.Unlock()
	}
	_, err := read(done, others+1)
	require.NoError(t, err)
	f.writeMany(2*chunkSize, "last") // removes the others from the history
	_, err = read(done, 2*chunkSize)
	require.NoError(t, err)
	requireCollected(t, &collected)
	events, err := read(slow, 1)
	require.NoError(t, err)
	require.Equal(t, []uint64{1}, indexes(events))
}

// The events that a slow watch has read can be collected before it reads the rest.
func TestReadPartIsNotRetained(t *testing.T) {
	l := New(1, 0)
	s := watching(t, l, driver.WatchRequest{Key: "k"})
	var collected sync.WaitGroup
	for i := range uint64(2 * maxBatch) {
		record := &tree.Record{Value: make([]byte, 100)}
		if i < maxBatch {
			collected.Add(1)
			onCollected(record, collected.Done)
		}
		s.(*watch).push([]Event{{Key: "k", Record: record, Index: i + 1}})
	}
	events, err := s.Next()
	require.NoError(t, err)
	require.Len(t, events, maxBatch)
	requireCollected(t, &collected)
	events, err = s.Next()
	require.NoError(t, err)
	require.Equal(t, upTo(maxBatch+1, 2*maxBatch), indexes(events))
}
