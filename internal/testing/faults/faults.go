// Package faults tests a backend on a cluster whose members die, freeze and are cut off,
// one or two at a time, while several clients write, read, watch and lock.
package faults

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Config is the configuration of Run.
type Config struct {
	// Cluster has three members.
	Cluster *servers.Cluster
	// Open returns a new instance, which is closed at the end of the test. All have the
	// same domain.
	Open func() kvdb.Kvdb
	// Duration is the approximate duration of the test.
	Duration time.Duration
	// CallBound is the time limit of a call. Recovery is the time within which the
	// instances must work again after there is a leader.
	CallBound, Recovery time.Duration
	// Pace is the time that each client waits between two writes. Stores with a short
	// history need it, so that a watch notices that its member is gone before the history
	// is lost.
	Pace time.Duration
	// Whole makes each fault wait until all members serve, for servers that may lose writes
	// if a member dies while another one catches up.
	Whole bool
}

// patience is the time within which every awaited event must happen.
const patience = 30 * time.Second

// fault is something that happens to one member, or to two.
type fault struct {
	name       string
	begin, end func(*servers.Member) error
	victims    int
	lasts      time.Duration
}

var all = []fault{
	{"kill", (*servers.Member).Kill, (*servers.Member).Start, 1, 3 * time.Second},
	{"pause", (*servers.Member).Pause, (*servers.Member).Resume, 1, 5 * time.Second},
	{"isolate", (*servers.Member).Isolate, (*servers.Member).Rejoin, 1, 5 * time.Second},
	{"pause", (*servers.Member).Pause, (*servers.Member).Resume, 2, 4 * time.Second},
	{"kill", (*servers.Member).Kill, (*servers.Member).Start, 2, 2 * time.Second},
	{"isolate", (*servers.Member).Isolate, (*servers.Member).Rejoin, 2, 4 * time.Second},
}

// Run asserts that under faults no write is lost, no event is delivered twice, no read is
// stale and no lock has two holders, that every call returns in time, and that the instances
// work again soon after each fault.
func Run(t *testing.T, c Config) {
	ctx, cancel := context.WithTimeout(t.Context(), c.Duration)
	defer cancel()
	first, second := c.Open(), c.Open()
	l := newLoad(t, ctx, c.CallBound, c.Pace)
	stream := l.start(first, second)
	members := c.Cluster.All()
	slowest := time.Duration(0)
	for round := 0; ctx.Err() == nil; round++ {
		f := all[round%len(all)]
		var victims []*servers.Member
		for i := range f.victims {
			victims = append(victims, members[(round/len(all)+round+i)%len(members)])
		}
		for _, m := range victims {
			require.NoError(t, f.begin(m))
		}
		wait(ctx, f.lasts)
		for _, m := range victims {
			require.NoError(t, f.end(m))
		}
		settled, cancel := context.WithTimeout(t.Context(), patience)
		_, err := c.Cluster.Leader(settled)
		require.NoError(t, err)
		took := worksAgain(t, first, second)
		if c.Whole {
			require.NoError(t, c.Cluster.Ready(settled))
		}
		cancel()
		t.Logf("%s of %d: works after %v", f.name, f.victims, took)
		slowest = max(slowest, took)
		wait(ctx, time.Second)
	}
	l.running.Wait()
	require.Less(t, slowest, c.Recovery)
	l.check(first, stream)
	t.Logf("%d calls, %d failed, the slowest took %v; %d writes acknowledged, %d with an unknown outcome; %d locks; counted to %d",
		l.calls, l.failed, l.slowest, len(l.acked), len(l.unknown), l.locks, l.counted.Load())
}

// wait waits for d, for example for the effects of a fault.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// worksAgain returns how long it takes until a write and a read on each instance
// succeed.
func worksAgain(t *testing.T, kvs ...kvdb.Kvdb) time.Duration {
	t.Helper()
	began := time.Now()
	for _, kv := range kvs {
		for {
			err := works(t.Context(), kv)
			if err == nil {
				break
			}
			require.Less(t, time.Since(began), patience, "an instance does not work again: %v", err)
			wait(t.Context(), 20*time.Millisecond)
		}
	}
	return time.Since(began)
}

func works(ctx context.Context, kv kvdb.Kvdb) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	bound := kvdb.WithContext(ctx, kv)
	_, err := bound.Put("works", "value", 0)
	if err == nil {
		_, err = bound.Get("counter")
	}
	return err
}
