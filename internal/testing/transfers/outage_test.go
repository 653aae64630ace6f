package transfers

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/transfer"
)

// fault is something that happens to a server for some time.
type fault struct {
	name       string
	begin, end func(*servers.Member) error
	lasts      time.Duration
}

const (
	short = 4 * time.Second
	// long is longer than a lock lives without its holder.
	long = 25 * time.Second
)

var faults = []fault{
	{"stopped", (*servers.Member).Stop, (*servers.Member).Start, short},
	{"killed", (*servers.Member).Kill, (*servers.Member).Start, short},
	{"paused", (*servers.Member).Pause, (*servers.Member).Resume, short},
	{"isolated", (*servers.Member).Isolate, (*servers.Member).Rejoin, short},
	{"paused for long", (*servers.Member).Pause, (*servers.Member).Resume, long},
}

// The server of the source, or that of the target, fails while a copy follows two writers. When
// it is back the copy goes on, also after it has lost its lock, and both sides become equal.
func TestOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	chosen := map[string][]fault{"etcd v3 to Consul": {faults[1], faults[4]}, "ZooKeeper to etcd v3": {faults[2], faults[4]}}
	for _, from := range kinds {
		for _, to := range kinds {
			name := from.name + " to " + to.name
			list := chosen[name]
			if *all {
				list = faults
			}
			if from.start == nil && to.start == nil || len(list) == 0 {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				copyInOutages(t, from, to, list)
			})
		}
	}
}

func copyInOutages(t *testing.T, from, to kind, list []fault) {
	sourceServers, targetServers := from.cluster(t), to.cluster(t)
	source, target := from.place(t, sourceServers).mustOpen(t), to.place(t, targetServers).mustOpen(t)
	seed(t, source, target, from, 1000)
	writing := startWriters(t, source, from)
	o := options(to)
	o.LockWait = patience
	inSync, cutOver := make(chan struct{}), make(chan struct{})
	var troubles atomic.Int32
	o.OnError = func(err error) { troubles.Add(1) }
	o.CutOver = func(ctx context.Context) error {
		close(inSync)
		select {
		case <-cutOver:
		case <-ctx.Done():
		}
		writing.end()
		return nil
	}
	type outcome struct {
		r   transfer.Receipt
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := transfer.Copy(t.Context(), source, target, o)
		done <- outcome{r, err}
	}()
	select {
	case <-inSync:
	case result := <-done:
		require.FailNow(t, "the copy ended early", "%v", result.err)
	case <-time.After(patience):
		require.FailNow(t, "the copy must catch up")
	}
	for _, f := range list {
		for side, cluster := range map[string]*servers.Cluster{"source": sourceServers, "target": targetServers} {
			if cluster == nil {
				continue
			}
			require.NoError(t, f.begin(cluster.All()[0]))
			time.Sleep(f.lasts) // for its effects
			require.NoError(t, f.end(cluster.All()[0]))
			t.Logf("%s %s", side, f.name)
		}
	}
	close(cutOver)
	select {
	case result := <-done:
		require.NoError(t, result.err)
		require.Equal(t, result.r.Source, result.r.Target)
		t.Logf("%d errors, %d restarts, %d passes, %d pairs", troubles.Load(), result.r.Restarts, result.r.Passes, result.r.Source.Pairs)
	case <-time.After(2 * patience):
		require.FailNow(t, "the copy must end after the outages")
	}
	require.Positive(t, troubles.Load(), "the copy must notice an outage")
	requireEqual(t, source, target, to)
}
