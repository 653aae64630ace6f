package eventlog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Watches that start and end during concurrent writes get each matching event once, in
// order, from their registration on.
func TestConcurrentWatches(t *testing.T) {
	const writers, watchers, writes = 4, 8, 5000
	f := newFeed(writers * writes)
	var writing, reading sync.WaitGroup
	for n := range writers {
		writing.Go(func() {
			for range writes {
				f.write([]string{"a/" + strconv.Itoa(n), "b"}[rand.IntN(2)])
			}
		})
	}
	for n := range watchers {
		r := []driver.WatchRequest{{Key: "a/", Prefix: true}, {Key: "b"}, {Prefix: true}, {Key: "a/1"}}[n%4]
		reading.Go(func() {
			for range 20 {
				f.mu.Lock()
				r.After = f.index
				f.mu.Unlock()
				s, err := f.log.Watch(context.Background(), r)
				require.NoError(t, err)
				// The watch must get the following write.
				var mine uint64
				switch {
				case r.Prefix:
					mine = f.write(r.Key + "1")
				default:
					mine = f.write(r.Key)
				}
				last := r.After
				for last < mine {
					events, err := s.Next()
					require.NoError(t, err)
					for _, e := range events {
						require.Greater(t, e.ModifiedIndex, last)
						require.Equal(t, strconv.FormatUint(e.ModifiedIndex, 10), string(e.Value))
						last = e.ModifiedIndex
					}
				}
				s.Close()
			}
		})
	}
	// A watch of all keys from the start gets every index.
	all := watching(t, f.log, driver.WatchRequest{Prefix: true})
	total := writers*writes + watchers*20
	events, err := read(all, total)
	require.NoError(t, err)
	require.Equal(t, upTo(1, uint64(total)), indexes(events))
	writing.Wait()
	reading.Wait()
}

func TestWatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := fmt.Errorf("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		s, err := newFeed(10).log.Watch(ctx, driver.WatchRequest{Key: "k"})
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() {
			_, err := s.Next()
			ended <- err
		}()
		synctest.Wait()
		require.Empty(t, ended)
		cancel(cause)
		require.Equal(t, cause, <-ended)
		s.Close()
	})
}

// awaitDispatch waits until every event is dispatched.
func awaitDispatch(t *testing.T, l *Log) {
	t.Helper()
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.dispatching
	}, 20*time.Second, time.Millisecond)
}

// A watch that does not read is ended when too many events wait for it. Other watches are
// not affected.
func TestSlowWatch(t *testing.T) {
	f := newFeed(10)
	require.Equal(t, MaxLag, f.log.maxLag)
	f.log.maxLag = 1000
	slow := watching(t, f.log, driver.WatchRequest{Key: "k"})
	fast := watching(t, f.log, driver.WatchRequest{Key: "k"})
	for i := range uint64(100) { // each batch is smaller than the maximum lag
		f.writeMany(100, "k")
		got, err := read(fast, 100)
		require.NoError(t, err)
		require.Equal(t, upTo(100*i+1, 100*i+100), indexes(got))
	}
	awaitDispatch(t, f.log)
	got, err := read(slow, 1)
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
	require.Empty(t, got)
}

// A watch may be behind by exactly the maximum lag.
func TestLagIsAllowed(t *testing.T) {
	f := newFeed(10)
	f.log.maxLag = 1000
	s := watching(t, f.log, driver.WatchRequest{Key: "k"})
	f.writeMany(1000, "k")
	awaitDispatch(t, f.log)
	got, err := read(s, 1000)
	require.NoError(t, err)
	require.Equal(t, upTo(1, 1000), indexes(got))
}

// The past events that a watch gets at its registration do not count as lag.
func TestHistoryIsNotLag(t *testing.T) {
	f := newFeed(5000)
	f.log.maxLag = 1000
	f.writeMany(3000, "k")
	s := watching(t, f.log, driver.WatchRequest{Key: "k", After: 1})
	f.writeMany(1000, "k")
	awaitDispatch(t, f.log)
	got, err := read(s, 3999)
	require.NoError(t, err)
	require.Equal(t, upTo(2, 4000), indexes(got))
}

// The number of events to be dispatched is bounded, so a writer that is far ahead of the
// dispatcher waits for it.
func TestWritersWaitForTheDispatcher(t *testing.T) {
	f := newFeed(10)
	s := watching(t, f.log, driver.WatchRequest{Key: "k"})
	const events = 3 * maxPending
	s.(*watch).mu.Lock() // stops the dispatcher at this watch
	written := make(chan struct{})
	go func() { f.writeMany(events, "k"); close(written) }()
	require.Eventually(t, func() bool {
		f.log.mu.Lock()
		defer f.log.mu.Unlock()
		return len(f.log.pending) == maxPending
	}, 20*time.Second, time.Millisecond)
	select {
	case <-written:
		t.Fatal("the writer did not wait")
	default:
	}
	s.(*watch).mu.Unlock()
	<-written
	got, err := read(s, events)
	require.NoError(t, err)
	require.Equal(t, upTo(1, events), indexes(got))
}

// A write that no watch matches wakes neither the dispatcher nor a watch.
func TestOtherWatchesAreNotWoken(t *testing.T) {
	f := newFeed(10)
	others := []driver.Stream{}
	for i := range 1000 {
		others = append(others, watching(t, f.log, driver.WatchRequest{Key: fmt.Sprint("other/", i), Prefix: i%2 == 0}))
	}
	f.writeMany(100, "k", "other", "other/1/x")
	require.False(t, f.log.dispatching)
	require.Empty(t, f.log.pending)
	for _, s := range others {
		require.False(t, waits(s))
	}
	// The cost of this check depends on the number of different lengths of prefixes.
	require.LessOrEqual(t, len(f.log.watches.lengths), 3)
}

func TestClosedWatchIsForgotten(t *testing.T) {
	f := newFeed(10)
	r := &f.log.watches
	open := []driver.Stream{}
	for i := range 100 {
		s, err := f.log.Watch(context.Background(), driver.WatchRequest{Key: strings.Repeat("k", i%7), Prefix: i%2 == 0})
		require.NoError(t, err)
		open = append(open, s)
	}
	require.Len(t, r.lengths, 7)
	rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	for i, s := range open {
		s.Close()
		s.Close() // a second call has no effect
		rest := 0
		for _, groups := range []map[string]*group{r.keys, r.prefixes} {
			for _, g := range groups {
				require.NotEmpty(t, g.watches)
				rest += len(g.watches)
			}
		}
		require.Equal(t, len(open)-1-i, rest)
	}
	require.Empty(t, r.keys)
	require.Empty(t, r.prefixes)
	require.Empty(t, r.lengths)

	refused, err := f.log.Watch(context.Background(), driver.WatchRequest{Key: "k"})
	require.NoError(t, err)
	refused.Close()
	require.Empty(t, r.keys)
}
