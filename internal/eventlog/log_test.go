package eventlog

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// feed appends events whose indexes grow by one.
type feed struct {
	log *Log

	mu    sync.Mutex // orders writers, as a store's does
	index uint64
}

func (f *feed) write(key string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	f.log.Append(Event{
		Key: key, Action: kvdb.KVSet, Index: f.index,
		Record: &tree.Record{Value: []byte(strconv.FormatUint(f.index, 10)), Created: 1, Modified: f.index},
	})
	return f.index
}

func (f *feed) writeMany(n int, keys ...string) {
	for range n {
		for _, key := range keys {
			f.write(key)
		}
	}
}

func newFeed(limit int) *feed { return &feed{log: New(limit, 0)} }

// watching registers a watch that ends with the test.
func watching(t testing.TB, l *Log, r driver.WatchRequest) driver.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	s, err := l.Watch(ctx, r)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close(); cancel() })
	return s
}

// read returns the next n events, or fewer and the error that came before.
func read(s driver.Stream, n int) ([]*kvdb.KVPair, error) {
	var events []*kvdb.KVPair
	for len(events) < n {
		batch, err := s.Next()
		events = append(events, batch...)
		if err != nil {
			return events, err
		}
	}
	return events, nil
}

func indexes(events []*kvdb.KVPair) []uint64 {
	all := []uint64{}
	for _, e := range events {
		all = append(all, e.ModifiedIndex)
	}
	return all
}

// upTo returns the integers from, from+1, …, to.
func upTo(from, to uint64) []uint64 {
	all := []uint64{}
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}

func TestEventFields(t *testing.T) {
	l := New(10, 0)
	s := watching(t, l, driver.WatchRequest{Key: "k"})
	value := []byte("old")
	l.Append(Event{Key: "k", Action: kvdb.KVDelete, Index: 9, Record: &tree.Record{Value: value, Created: 3, Modified: 5}})
	events, err := read(s, 1)
	require.NoError(t, err)
	require.Equal(t, &kvdb.KVPair{
		Key: "k", Value: []byte("old"), Action: kvdb.KVDelete, CreatedIndex: 3, ModifiedIndex: 9, KVDBIndex: 9,
	}, events[0])
	events[0].Value[0] = 'X'
	require.Equal(t, "old", string(value), "the receiver may change the event's value")
}

// A change to an event by one watch is not visible to another, and values of one batch do
// not overlap.
func TestReceiversOwnTheirEvents(t *testing.T) {
	f := newFeed(10)
	f.writeMany(3, "k")
	a, b := watching(t, f.log, driver.WatchRequest{Key: "k"}), watching(t, f.log, driver.WatchRequest{Key: "k"})
	got, err := read(a, 3)
	require.NoError(t, err)
	for i, e := range got {
		require.Equal(t, strconv.Itoa(i+1), string(e.Value))
		_ = append(e.Value, 'X') // must not overwrite the next value
		e.Value[0], e.Key = 'X', "changed"
	}
	got, err = read(b, 3)
	require.NoError(t, err)
	for i, e := range got {
		require.Equal(t, strconv.Itoa(i+1), string(e.Value))
		require.Equal(t, "k", e.Key)
	}
}

func TestWatchSelects(t *testing.T) {
	keys := []string{"a", "ab", "abc", "ab/c", "b", ""}
	for _, r := range []driver.WatchRequest{
		{Key: "ab"}, {Key: "ab", Prefix: true}, {Key: "", Prefix: true}, {Key: "x"}, {Key: "x", Prefix: true}, {Key: "abc", Prefix: true},
	} {
		want := []string{}
		for _, key := range keys {
			if key == r.Key || r.Prefix && strings.HasPrefix(key, r.Key) {
				want = append(want, key)
			}
		}
		t.Run(fmt.Sprintf("%q prefix=%t", r.Key, r.Prefix), func(t *testing.T) {
			f := newFeed(100)
			f.writeMany(1, keys...) // the history selects by the same rules
			s := watching(t, f.log, r)
			f.writeMany(1, keys...)
			if len(want) == 0 {
				require.False(t, waits(s))
				return
			}
			events, err := read(s, 2*len(want))
			require.NoError(t, err)
			for i, e := range events {
				require.Equal(t, want[i%len(want)], e.Key)
			}
		})
	}
}

// waits reports whether the watch has an undelivered event.
func waits(s driver.Stream) bool {
	w := s.(*watch)
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) > 0
}

// A watch after index N gets every past and later event with a larger index. A watch after
// 0 gets the history first.
func TestWatchFromThePast(t *testing.T) {
	for _, after := range []uint64{0, 1, 63, 64, 65, 299, 300} {
		t.Run(strconv.FormatUint(after, 10), func(t *testing.T) {
			f := newFeed(1000)
			f.writeMany(300, "k")
			s := watching(t, f.log, driver.WatchRequest{Key: "k", After: after})
			f.writeMany(100, "k")
			events, err := read(s, 400-int(after))
			require.NoError(t, err)
			require.Equal(t, upTo(after+1, 400), indexes(events))
		})
	}
}

// A watch that is registered while events are being dispatched gets them from the history,
// and not again.
func TestWatchDuringDispatch(t *testing.T) {
	f := newFeed(1000)
	others := watching(t, f.log, driver.WatchRequest{Key: "k"})
	f.log.dispatching = true // so that nothing is dispatched before the call below
	f.writeMany(10, "k")
	s := watching(t, f.log, driver.WatchRequest{Key: "k", After: 3})
	f.writeMany(10, "k")
	go f.log.dispatch()
	events, err := read(s, 17)
	require.NoError(t, err)
	require.Equal(t, upTo(4, 20), indexes(events))
	events, err = read(others, 20)
	require.NoError(t, err)
	require.Equal(t, upTo(1, 20), indexes(events))
}

func TestWatchFromTheFuture(t *testing.T) {
	f := newFeed(1000)
	f.writeMany(10, "k")
	s := watching(t, f.log, driver.WatchRequest{Key: "k", After: 15})
	f.writeMany(10, "k")
	events, err := read(s, 5)
	require.NoError(t, err)
	require.Equal(t, upTo(16, 20), indexes(events))
}

func TestHistoryIsBounded(t *testing.T) {
	for _, limit := range []int{1, 64, 65, 200} {
		f := newFeed(limit)
		f.writeMany(1000, "k")
		kept := 0
		for c := f.log.head; c != nil; c = c.next {
			kept += c.used
		}
		require.GreaterOrEqual(t, kept, limit)
		require.Less(t, kept, limit+chunkSize)
		require.Equal(t, f.log.retained, kept)

		// The smallest index after which the log has all events.
		floor := uint64(1000 - kept)
		events, err := read(watching(t, f.log, driver.WatchRequest{Key: "k", After: floor}), kept)
		require.NoError(t, err)
		require.Equal(t, upTo(floor+1, 1000), indexes(events))

		events, err = read(watching(t, f.log, driver.WatchRequest{Key: "k", After: floor - 1}), 1)
		require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
		require.Empty(t, events)

		events, err = read(watching(t, f.log, driver.WatchRequest{Key: "k"}), kept)
		require.NoError(t, err, "a watch without an index misses no events")
		require.Equal(t, upTo(floor+1, 1000), indexes(events))
	}
}

// The log does not have the events up to the floor.
func TestFloorOfNew(t *testing.T) {
	f := &feed{log: New(100, 50), index: 50}
	f.write("k")
	_, err := read(watching(t, f.log, driver.WatchRequest{Key: "k", After: 49}), 1)
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
	for _, after := range []uint64{50, 0} {
		events, err := read(watching(t, f.log, driver.WatchRequest{Key: "k", After: after}), 1)
		require.NoError(t, err)
		require.Equal(t, []uint64{51}, indexes(events))
	}
}

func TestCompact(t *testing.T) {
	for _, index := range []uint64{1, 30, 64, 65, 100, 300} {
		t.Run(strconv.FormatUint(index, 10), func(t *testing.T) {
			f := newFeed(1000)
			f.writeMany(300, "k")
			f.log.Compact(index)
			f.log.Compact(index - 1) // has no effect
			f.write("k")
			// The events from index on are still available.
			events, err := read(watching(t, f.log, driver.WatchRequest{Key: "k", After: index - 1}), 302-int(index))
			require.NoError(t, err)
			require.Equal(t, upTo(index, 301), indexes(events))
			events, err = read(watching(t, f.log, driver.WatchRequest{Key: "k"}), 302-int(index))
			require.NoError(t, err)
			require.Equal(t, upTo(index, 301), indexes(events))
			if index > 2 {
				_, err = read(watching(t, f.log, driver.WatchRequest{Key: "k", After: index - 2}), 1)
				require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
			}
		})
	}
}

// Compact with an index in the future removes the present events, not later ones.
func TestCompactBeyondTheEnd(t *testing.T) {
	for _, written := range []int{0, 10, 64, 100} {
		f := newFeed(1000)
		f.writeMany(written, "k")
		f.log.Compact(1 << 40)
		require.Zero(t, f.log.retained)
		f.writeMany(100, "k")
		last := uint64(written) + 100
		events, err := read(watching(t, f.log, driver.WatchRequest{Key: "k", After: uint64(written)}), 100)
		require.NoError(t, err)
		require.Equal(t, upTo(last-99, last), indexes(events))
	}
}

// A registered watch also gets the events that Compact removes from the history.
func TestCompactLeavesRegisteredWatchesAlone(t *testing.T) {
	f := newFeed(1000)
	f.writeMany(100, "k")
	s := watching(t, f.log, driver.WatchRequest{Key: "k"})
	f.writeMany(100, "k")
	f.log.Compact(200)
	events, err := read(s, 200)
	require.NoError(t, err)
	require.Equal(t, upTo(1, 200), indexes(events))
}
