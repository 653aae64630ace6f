package zookeeper

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/internal/testing/faults"
	"github.com/portworx/kvdb/test/servers"
)

var faultTime = flag.Duration("kvdb.faults", 20*time.Second, "how long TestFaults lasts; 2m goes through all faults")

// faulty is a store with its ways to the servers.
type faulty struct {
	store *store
	ways  []*observer
}

// cut disconnects the store from all servers for d.
func (f faulty) cut(ctx context.Context, d time.Duration) {
	for _, way := range f.ways {
		way.cut(true)
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	for _, way := range f.ways {
		way.cut(false)
	}
}

// While servers die, hang and are cut off, one instance after the other is
// disconnected from all of them until its session expires.
func TestFaults(t *testing.T) {
	const sessionTimeout, cutTime, between = 6 * time.Second, 8 * time.Second, 4 * time.Second
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3, Config: []string{fmt.Sprintf("maxSessionTimeout=%d", sessionTimeout.Milliseconds())}})
	var mu sync.Mutex
	var instances []faulty
	newInstance := func() kvdb.Kvdb {
		var f faulty
		var addresses []string
		for _, m := range cluster.All() {
			way := observeAt(t, m.Endpoint())
			f.ways = append(f.ways, way)
			addresses = append(addresses, way.Addr().String())
		}
		var err error
		f.store, err = open(addresses, nil)
		require.NoError(t, err)
		kv, err := engine.New(engine.Config{Name: Name, Domain: "faults", Store: f.store})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
		mu.Lock()
		defer mu.Unlock()
		instances = append(instances, f)
		return kv
	}
	// The last cut ends before the faults do.
	ctx, cancel := context.WithTimeout(t.Context(), *faultTime-cutTime-between)
	defer cancel()
	var cutting sync.WaitGroup
	defer cutting.Wait()
	expired := 0
	cutting.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(between):
			}
			mu.Lock()
			all := instances
			mu.Unlock()
			if len(all) == 0 {
				continue // they are about to be opened
			}
			f := all[i%len(all)]
			before := f.store.main.Client().SessionID()
			f.cut(t.Context(), cutTime)
			back, cancel := context.WithTimeout(t.Context(), patience)
			if err := f.store.main.Ready(back); err != nil {
				t.Errorf("no session again: %v", err)
			}
			cancel()
			if f.store.main.Client().SessionID() != before {
				expired++
			}
		}
	})
	faults.Run(t, faults.Config{
		Cluster:   cluster,
		Open:      newInstance,
		Duration:  *faultTime,
		CallBound: driver.CallTimeout + 3*time.Second,
		// An instance may be cut off, too.
		Recovery: 20 * time.Second,
		// ZooKeeper 3.8.0 may lose what was acknowledged when a server dies
		// right after it has joined the others (ZOOKEEPER-4643, ZOOKEEPER-4646).
		Whole: true,
	})
	cutting.Wait()
	t.Logf("%d sessions expired", expired)
	require.Positive(t, expired)
}
