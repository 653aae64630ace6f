package transfers

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	"github.com/portworx/kvdb/transfer"
)

// commitsOf counts the commits of a child in the background, and returns the number of those
// that run, and a channel for the line that ends its output.
func commitsOf(c *child) (running *atomic.Int32, last chan string) {
	running, last = &atomic.Int32{}, make(chan string, 1)
	go func() {
		line := ""
		for {
			next, ok := c.await("")
			if !ok {
				break
			}
			switch line = next; line {
			case commitBegins:
				running.Add(1)
			case commitEnds:
				running.Add(-1)
			}
		}
		last <- line
	}()
	return running, last
}

// A copier is stopped while its requests are on their way to the target. They arrive when
// another copier has taken over and has ended, and change nothing. The first copier ends with an
// error when it wakes up.
func TestLateRequests(t *testing.T) {
	for _, to := range kinds {
		if to.start == nil || to.backend == etcdv2.Name { // whose writes cannot be tied to a lock
			continue
		}
		to.ttl = 0 // so that on etcd v3 a commit is one request, which is then on its way
		t.Run(to.name, func(t *testing.T) {
			t.Parallel()
			cluster := to.cluster(t)
			member := cluster.All()[0]
			near := func() place {
				p := to.place(t, cluster)
				p.Endpoints = []string{member.Direct()}
				return p
			}
			from, at := near(), near()
			remote := at
			remote.Endpoints = cluster.Endpoints()
			source, target := from.mustOpen(t), at.mustOpen(t)
			seed(t, source, target, to, 1000)
			writing := startWriters(t, source, to)
			first := startChild(t, job{Source: from, Target: remote, TTL: options(to).TTL, Follow: true, Commits: true})
			_, ok := first.await(string(transfer.PhaseTail))
			require.True(t, ok, "the child must begin")
			running, last := commitsOf(first)
			require.NoError(t, member.Clients().Blackhole())
			stuck, deadline := 0, time.Now().Add(patience)
			for stuck < 10 {
				require.True(t, time.Now().Before(deadline), "a commit must be on its way")
				time.Sleep(50 * time.Millisecond) // between two looks
				if stuck++; running.Load() == 0 {
					stuck = 0
				}
			}
			first.signal(t, syscall.SIGSTOP)

			o := options(to)
			o.LockWait = patience
			_, err := transfer.Copy(t.Context(), source, target, withCutOver(o, writing))
			require.NoError(t, err)
			requireEqual(t, source, target, to)
			for i, kv := range []kvdb.Kvdb{target, source} {
				_, err = kv.Put("tree/00001", []string{"of a program that uses the target", "too late"}[i], 0)
				require.NoError(t, err)
			}
			before := moment(t, target)
			require.NoError(t, member.Clients().Heal())
			time.Sleep(time.Second) // in which what was on its way arrives
			require.Empty(t, changed(before, moment(t, target)), "the copier is still stopped")
			first.signal(t, syscall.SIGCONT)
			line := receive(t, last, "the first copier ends")
			require.True(t, strings.HasPrefix(line, "error:"), line)
			require.Empty(t, changed(before, moment(t, target)), "the copier has ended")
		})
	}
}

// changed returns the keys that are not the same in two moments.
func changed(before, after map[string]uint64) (keys []string) {
	for key, index := range before {
		if after[key] != index {
			keys = append(keys, key)
		}
	}
	for key := range after {
		if before[key] == 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "not in time: "+what)
		panic("not reached")
	}
}
