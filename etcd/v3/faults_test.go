package etcdv3

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

var faultTime = flag.Duration("kvdb.faults", 20*time.Second, "how long TestFaults lasts; 2m goes through all faults")

const (
	// callBound is what a call may take: its time limit, and slack for a busy machine.
	callBound = opTimeout + 3*time.Second
	// recovery is what an instance may take to work again when a quorum is back.
	recovery = 5 * time.Second
)

// faultLoad is what goes on during the faults, and what came of it.
type faultLoad struct {
	t   *testing.T
	ctx context.Context // ends the load

	mu      sync.Mutex // protects what is below
	acked   map[string]uint64
	unknown map[string]bool
	slowest time.Duration
	calls   int
	failed  int
	holders map[*kvdb.KVPair]struct{}
	locks   int
}

// call makes one call, notes how it went, and asserts what holds of all calls.
func (l *faultLoad) call(what string, f func() error) error {
	began := time.Now()
	err := f()
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.slowest = max(l.slowest, took)
	if took > callBound {
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

// write creates keys that nobody else writes.
func (l *faultLoad) write(kv kvdb.Kvdb, writer int) {
	for i := 0; l.ctx.Err() == nil; i++ {
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

// count counts up, and read asserts that no count goes back.
func (l *faultLoad) count(kv kvdb.Kvdb, acked *atomic.Int64) {
	for i := int64(1); l.ctx.Err() == nil; i++ {
		err := l.call("Put", func() error { _, err := kv.Put("counter", strconv.FormatInt(i, 10), 0); return err })
		if err == nil {
			acked.Store(i)
		}
	}
}

func (l *faultLoad) read(kv kvdb.Kvdb, acked *atomic.Int64) {
	seen := int64(0)
	for l.ctx.Err() == nil {
		least := max(seen, acked.Load())
		var pair *kvdb.KVPair
		if l.call("Get", func() (err error) { pair, err = kv.Get("counter"); return err }) != nil {
			continue
		}
		count, err := strconv.ParseInt(string(pair.Value), 10, 64)
		if err != nil || count < least {
			l.t.Errorf("a read saw %q after %d", pair.Value, least)
		}
		// Lost writes cannot come back: what is seen stays.
		seen = count
	}
}

// lock holds the lock again and again. Nobody else does, who has not lost it.
func (l *faultLoad) lock(kv kvdb.Kvdb, owner string) {
	for l.ctx.Err() == nil {
		pair, err := kv.LockWithTimeout("lock", owner, 2*time.Second, 0)
		if err != nil {
			continue
		}
		l.mu.Lock()
		l.locks++
		for other := range l.holders {
			select {
			case <-other.Lock.(kvdb.HeldLock).Lost():
			default:
				l.t.Errorf("%s has the lock, and another one too", owner)
			}
		}
		l.holders[pair] = struct{}{}
		l.mu.Unlock()
		hold := time.NewTimer(20 * time.Millisecond)
		select {
		case <-pair.Lock.(kvdb.HeldLock).Lost():
		case <-hold.C:
		}
		l.mu.Lock()
		delete(l.holders, pair)
		l.mu.Unlock()
		for err = kv.Unlock(pair); err != nil && l.ctx.Err() == nil && !errors.Is(err, kvdb.ErrInvalidLock); err = kv.Unlock(pair) {
		}
	}
}

// check asserts that the watch saw each write once, in order, and that what was
// acknowledged is there.
func (l *faultLoad) check(kv kvdb.Kvdb, stream <-chan *kvdb.KVPair) {
	end, err := kv.Put("keys/end", "keys/end", 0)
	require.NoError(l.t, err)
	l.acked["keys/end"] = end.ModifiedIndex
	seen := map[string]uint64{}
	for last := uint64(0); last < end.ModifiedIndex; {
		event := receive(l.t, stream, "an event")
		require.NotNil(l.t, event, "the watch is over")
		require.NotContains(l.t, seen, event.Key)
		require.Greater(l.t, event.ModifiedIndex, last)
		last = event.ModifiedIndex
		seen[event.Key] = last
	}
	pairs, err := kv.Enumerate("keys/")
	require.NoError(l.t, err)
	require.Len(l.t, seen, len(pairs))
	for _, pair := range pairs {
		require.Equal(l.t, pair.ModifiedIndex, seen[pair.Key], pair.Key)
		if l.acked[pair.Key] == 0 {
			require.True(l.t, l.unknown[pair.Key], "%s was refused, and is there", pair.Key)
		}
	}
	for key, index := range l.acked {
		require.Equal(l.t, index, seen[key], key)
	}
}

// While members die, freeze and are cut off in turn, nothing is lost, repeated
// or read stale, no lock has two holders, every call returns in time, and the
// instances work again soon after each fault.
func TestFaults(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Members: 3})
	ctx, cancel := context.WithTimeout(t.Context(), *faultTime)
	defer cancel()
	load := &faultLoad{
		t: t, ctx: ctx, acked: map[string]uint64{}, unknown: map[string]bool{}, holders: map[*kvdb.KVPair]struct{}{},
	}
	first, second := instance(t, cluster, "faults", nil), instance(t, cluster, "faults", nil)
	start, err := first.Put("counter", "0", 0)
	require.NoError(t, err)
	stream := events(t, second, "keys/", start.ModifiedIndex)
	var acked atomic.Int64
	var wg sync.WaitGroup
	for i, kv := range []kvdb.Kvdb{first, second} {
		wg.Go(func() { load.write(kv, 2*i) })
		wg.Go(func() { load.write(kv, 2*i+1) })
		wg.Go(func() { load.read(kv, &acked) })
		wg.Go(func() { load.lock(kv, strconv.Itoa(2*i)) })
		wg.Go(func() { load.lock(kv, strconv.Itoa(2*i+1)) })
	}
	wg.Go(func() { load.count(first, &acked) })

	members := cluster.All()
	slowest := time.Duration(0)
	for round := 0; ctx.Err() == nil; round++ {
		f := faults[round%len(faults)]
		victims := []*servers.Member{members[(round/len(faults)+round)%3]}
		if f.quorum {
			victims = append(victims, members[(round/len(faults)+round+1)%3])
		}
		for _, m := range victims {
			require.NoError(t, f.begin(m))
		}
		pause(ctx, f.lasts)
		for _, m := range victims {
			require.NoError(t, f.end(m))
		}
		settled, cancel := context.WithTimeout(t.Context(), patience)
		_, err := cluster.Leader(settled) // the quorum is back
		cancel()
		require.NoError(t, err)
		took := worksAgain(t, first, second)
		t.Logf("%s of %d: works after %v", f.name, len(victims), took)
		slowest = max(slowest, took)
		pause(ctx, time.Second)
	}
	wg.Wait()
	require.Less(t, slowest, recovery)
	load.check(first, stream)
	t.Logf("%d calls, %d failed, the slowest took %v; %d writes acknowledged, %d with an unknown outcome; %d locks",
		load.calls, load.failed, load.slowest, len(load.acked), len(load.unknown), load.locks)
}

type fault struct {
	name       string
	begin, end func(*servers.Member) error
	quorum     bool // two members at once
	lasts      time.Duration
}

var faults = []fault{
	{"kill", (*servers.Member).Kill, (*servers.Member).Start, false, 3 * time.Second},
	{"pause", (*servers.Member).Pause, (*servers.Member).Resume, false, 5 * time.Second},
	{"isolate", (*servers.Member).Isolate, (*servers.Member).Rejoin, false, 5 * time.Second},
	{"pause", (*servers.Member).Pause, (*servers.Member).Resume, true, 4 * time.Second},
	{"kill", (*servers.Member).Kill, (*servers.Member).Start, true, 2 * time.Second},
	{"isolate", (*servers.Member).Isolate, (*servers.Member).Rejoin, true, 4 * time.Second},
}

// pause lets a fault last.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// worksAgain returns how long it takes until a write and a read on each
// instance succeed.
func worksAgain(t *testing.T, kvs ...kvdb.Kvdb) time.Duration {
	t.Helper()
	began := time.Now()
	for i, kv := range kvs {
		eventually(t, "an instance does not work again", func() bool {
			ctx, cancel := contextWithTimeout(t, time.Second)
			defer cancel()
			bound := kvdb.WithContext(ctx, kv)
			_, err := bound.Put("works/"+strconv.Itoa(i), "value", 0)
			if err == nil {
				_, err = bound.Get("counter")
			}
			return err == nil
		})
	}
	return time.Since(began)
}
