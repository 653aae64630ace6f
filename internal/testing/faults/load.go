package faults

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// load is the work of the clients during the faults, and its results.
type load struct {
	t       *testing.T
	ctx     context.Context // ends the load
	bound   time.Duration   // the time limit of a call
	pace    time.Duration   // between two writes of each client, two counts, two locks
	counted atomic.Int64    // the last count that was acknowledged
	running sync.WaitGroup

	mu      sync.Mutex // protects the fields below
	acked   map[string]uint64
	unknown map[string]bool
	slowest time.Duration
	calls   int
	failed  int
	holders map[*kvdb.KVPair]struct{}
	locks   int
	token   uint64 // the largest so far
	ended   error  // the error that ended the watch
}

func newLoad(t *testing.T, ctx context.Context, bound, pace time.Duration) *load {
	return &load{
		t: t, ctx: ctx, bound: bound, pace: pace,
		acked: map[string]uint64{}, unknown: map[string]bool{}, holders: map[*kvdb.KVPair]struct{}{},
	}
}

// start starts the load, and returns the events of a watch of its writes.
func (l *load) start(first, second kvdb.Kvdb) <-chan *kvdb.KVPair {
	began, err := first.Put("counter", "0", 0)
	require.NoError(l.t, err)
	stream := make(chan *kvdb.KVPair, 100_000)
	require.NoError(l.t, second.WatchTree("keys/", began.ModifiedIndex, nil,
		func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
			if err != nil {
				l.mu.Lock()
				l.ended = err
				l.mu.Unlock()
			}
			stream <- pair // nil at the end
			return err
		}))
	for i, kv := range []kvdb.Kvdb{first, second} {
		for n := 2 * i; n < 2*i+2; n++ {
			l.running.Go(func() { l.write(kv, n) })
			l.running.Go(func() { l.lock(kv, strconv.Itoa(n)) })
		}
		l.running.Go(func() { l.read(kv) })
	}
	l.running.Go(func() { l.count(first) })
	return stream
}

// call makes one call, records its result, and asserts the rules for all calls.
func (l *load) call(what string, f func() error) error {
	began := time.Now()
	err := f()
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.slowest = max(l.slowest, took)
	if took > l.bound {
		l.t.Errorf("%s took %v", what, took)
	}
	if err == nil {
		return nil
	}
	l.failed++
	if l.ctx.Err() == nil && !errors.Is(err, kvdb.ErrNoConnection) && !errors.Is(err, kvdb.ErrUnknownOutcome) {
		l.t.Errorf("%s: %v", what, err)
	}
	return err
}

// write creates keys that no other client writes.
func (l *load) write(kv kvdb.Kvdb, writer int) {
	for i := 0; l.ctx.Err() == nil; i++ {
		wait(l.ctx, l.pace)
		key := fmt.Sprintf("keys/%d/%d", writer, i)
		var pair *kvdb.KVPair
		err := l.call("Create", func() (err error) { pair, err = kv.Create(key, key, 0); return err })
		l.mu.Lock()
		if err == nil {
			l.acked[key] = pair.ModifiedIndex
		} else if errors.Is(err, kvdb.ErrUnknownOutcome) {
			l.unknown[key] = true
		}
		l.mu.Unlock()
	}
}

// count increments a counter, and read asserts that it includes every acknowledged step and
// never goes back. Each step is conditional on the previous one, so a step that takes effect
// late does not overwrite a later one.
func (l *load) count(kv kvdb.Kvdb) {
	var at *kvdb.KVPair
	unknown := uint64(0) // the index that steps with an unknown outcome compared with, or 0
	for l.ctx.Err() == nil {
		wait(l.ctx, l.pace)
		if at == nil && l.call("Get", func() (err error) { at, err = kv.Get("counter"); return err }) != nil {
			continue
		}
		i, err := strconv.ParseInt(string(at.Value), 10, 64)
		if err != nil {
			l.t.Errorf("the count is %q", at.Value)
			return
		}
		next := *at
		next.Value = strconv.AppendInt(nil, i+1, 10)
		at = nil
		_ = l.call("CompareAndSet", func() error {
			pair, err := kv.CompareAndSet(&next, kvdb.KVModifiedIndex, nil)
			if errors.Is(err, kvdb.ErrModified) && unknown == next.ModifiedIndex { // an earlier step took effect late
				return nil
			}
			if errors.Is(err, kvdb.ErrModified) {
				l.t.Errorf("the count was changed, and no earlier step took effect late")
				return nil
			}
			if errors.Is(err, kvdb.ErrUnknownOutcome) {
				unknown = next.ModifiedIndex
			}
			if err == nil {
				l.counted.Store(i + 1)
				at = pair
			}
			return err
		})
	}
}

func (l *load) read(kv kvdb.Kvdb) {
	seen := int64(0)
	for n := 0; l.ctx.Err() == nil; n++ {
		least := max(seen, l.counted.Load())
		what, read := "Get", kv.Get
		if n%2 == 1 {
			what, read = "Enumerate", func(key string) (*kvdb.KVPair, error) { return only(kv.Enumerate(key)) }
		}
		var pair *kvdb.KVPair
		if l.call(what, func() (err error) { pair, err = read("counter"); return err }) != nil {
			continue
		}
		count, err := strconv.ParseInt(string(pair.Value), 10, 64)
		if err != nil || count < least {
			l.t.Errorf("%s saw %q after %d", what, pair.Value, least)
		}
		seen = count
	}
}

// only returns the one pair of a list.
func only(pairs kvdb.KVPairs, err error) (*kvdb.KVPair, error) {
	if err == nil && len(pairs) != 1 {
		err = fmt.Errorf("there are %d pairs", len(pairs))
	}
	if err != nil {
		return nil, err
	}
	return pairs[0], nil
}

// lock obtains and releases the lock repeatedly, and asserts that no other client holds it,
// unless that client knows that it lost it.
func (l *load) lock(kv kvdb.Kvdb, owner string) {
	for l.ctx.Err() == nil {
		wait(l.ctx, l.pace)
		pair, err := kv.LockWithTimeout("lock", owner, 2*time.Second, 0)
		if err != nil {
			if l.ctx.Err() == nil && !errors.Is(err, kvdb.ErrExist) && !errors.Is(err, kvdb.ErrNoConnection) &&
				!errors.Is(err, kvdb.ErrUnknownOutcome) {
				l.t.Errorf("Lock: %v", err)
			}
			continue
		}
		lost := pair.Lock.(kvdb.HeldLock).Lost()
		l.enter(pair, owner)
		hold := time.NewTimer(20 * time.Millisecond)
		select {
		case <-lost:
		case <-hold.C:
		}
		l.mu.Lock()
		delete(l.holders, pair)
		l.mu.Unlock()
		for err = kv.Unlock(pair); err != nil && l.ctx.Err() == nil && !errors.Is(err, kvdb.ErrInvalidLock); err = kv.Unlock(pair) {
		}
	}
}

func (l *load) enter(pair *kvdb.KVPair, owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.locks++
	for other := range l.holders {
		select {
		case <-other.Lock.(kvdb.HeldLock).Lost():
		default:
			l.t.Errorf("%s has the lock, and another one too", owner)
		}
	}
	l.holders[pair] = struct{}{}
	select {
	case <-pair.Lock.(kvdb.HeldLock).Lost():
	default:
		if pair.ModifiedIndex <= l.token {
			l.t.Errorf("the token %d comes after %d", pair.ModifiedIndex, l.token)
		}
	}
	l.token = max(l.token, pair.ModifiedIndex)
}

// check asserts that the watch delivered each write once and in order, and that the store has
// every acknowledged write.
func (l *load) check(kv kvdb.Kvdb, stream <-chan *kvdb.KVPair) {
	require.Positive(l.t, l.counted.Load(), "no count was acknowledged")
	require.Positive(l.t, l.locks, "nobody had the lock")
	require.NotEmpty(l.t, l.acked, "nothing was written")
	counter, err := kv.Get("counter")
	require.NoError(l.t, err)
	count, err := strconv.ParseInt(string(counter.Value), 10, 64)
	require.NoError(l.t, err)
	require.GreaterOrEqual(l.t, count, l.counted.Load(), "the count decreased")
	end, err := kv.Put("keys/end", "keys/end", 0)
	require.NoError(l.t, err)
	l.acked["keys/end"] = end.ModifiedIndex
	seen := map[string]uint64{}
	for last := uint64(0); last < end.ModifiedIndex; {
		event := l.receive(stream)
		require.Zero(l.t, seen[event.Key], "%s was delivered twice", event.Key)
		require.Greater(l.t, event.ModifiedIndex, last)
		last = event.ModifiedIndex
		seen[event.Key] = last
	}
	var pairs kvdb.KVPairs
	for pair, err := range kvdb.Pairs(kv, "keys/") { // in pages, because one call may exceed its time limit on a busy machine
		require.NoError(l.t, err)
		if pair.ModifiedIndex > end.ModifiedIndex { // a delayed request
			require.True(l.t, l.unknown[pair.Key], "%s was written after the last one", pair.Key)
			continue
		}
		pairs = append(pairs, pair)
	}
	require.Len(l.t, seen, len(pairs))
	for _, pair := range pairs {
		require.Equal(l.t, pair.ModifiedIndex, seen[pair.Key], pair.Key)
		if l.acked[pair.Key] == 0 {
			require.True(l.t, l.unknown[pair.Key], "%s was refused, but exists", pair.Key)
		}
	}
	for key, index := range l.acked {
		require.Equal(l.t, index, seen[key], key)
	}
}

func (l *load) receive(stream <-chan *kvdb.KVPair) *kvdb.KVPair {
	l.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case event := <-stream:
		if event == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			require.NoError(l.t, l.ended, "the watch ended")
		}
		return event
	case <-timer.C:
		require.FailNow(l.t, "no event in time")
		return nil
	}
}
