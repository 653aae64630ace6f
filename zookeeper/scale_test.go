package zookeeper

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

var (
	watchedNodes = flag.Int("kvdb.watched", 2000, "znodes that TestWatchOverReconnects watches; 10000 is what is promised")
	reconnects   = flag.Int("kvdb.reconnects", 3, "reconnects of TestWatchOverReconnects; 10 is what is promised")
	kills        = flag.Int("kvdb.kills", 4, "holders that TestContenders kills; 50 is what is promised")
)

// Thousands of watched znodes: nothing is lost when the connection is.
func TestWatchOverReconnects(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	watching, writing := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	key := func(i int) string { return fmt.Sprintf("dir/%d/key-%d", i%10, i) }
	for from := 0; from < *watchedNodes; from += 500 {
		tx, err := writing.TxNew()
		require.NoError(t, err)
		for i := from; i < min(from+500, *watchedNodes); i++ {
			_, err := tx.Put(key(i), "before", 0)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
	}
	seen := events(t, watching, "dir/", 0)
	state := map[string]string{} // key → value, "" when deleted
	last := map[string]uint64{}
	expect := func(want map[string]string) {
		t.Helper()
		for {
			missing := false
			for key, value := range want {
				missing = missing || state[key] != value
			}
			if !missing {
				return
			}
			event := receive(t, seen, "the events")
			require.NotNil(t, event, "the watch is over")
			require.Greater(t, event.ModifiedIndex, last[event.Key], "an event that was told, or is older")
			last[event.Key] = event.ModifiedIndex
			state[event.Key] = string(event.Value)
		}
	}
	for round := range *reconnects {
		want := map[string]string{}
		write := func(i int) {
			value := fmt.Sprintf("round %d", round)
			pair, err := writing.Put(key(i), value, 0)
			require.NoError(t, err)
			want[pair.Key] = value
		}
		for i := range 50 {
			write(i * *watchedNodes / 50)
		}
		o.sever()
		for i := range 50 {
			write(i**watchedNodes/50 + 1)
		}
		gone, err := writing.Delete(key(2 + round))
		require.NoError(t, err)
		want[gone.Key] = ""
		state[gone.Key] = "before"
		created, err := writing.Create(fmt.Sprintf("dir/new/%d", round), "new", 0)
		require.NoError(t, err)
		want[created.Key] = "new"
		expect(want)
	}
	require.Empty(t, seen, "nothing is told twice")
}

// Many contend for a lock whose holders are cut off for ever, one after the
// other. There is never more than one, and the next one gets it.
func TestContenders(t *testing.T) {
	const contenders = 20
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"maxSessionTimeout=5000"}}).All()[0]
	type holder struct {
		o    *observer
		pair *kvdb.KVPair
	}
	held := make(chan holder)
	over := make(chan struct{})
	var running sync.WaitGroup
	defer running.Wait()
	var holders atomic.Int32
	contend := func() {
		for {
			o := observe(t, member)
			kv, err := New("d", []string{o.Addr().String()}, nil, func(error, string, ...interface{}) {})
			if err != nil {
				t.Error(err)
				return
			}
			locked := make(chan *kvdb.KVPair, 1)
			go func() {
				pair, _ := kv.LockWithTimeout("lock", "me", time.Hour, 0)
				locked <- pair
			}()
			select {
			case pair := <-locked:
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				select {
				case held <- holder{o, pair}:
					<-pair.Lock.(kvdb.HeldLock).Lost()
					holders.Add(-1)
				case <-over:
				}
				o.kill()
				_ = kvdb.Close(kv)
			case <-over:
				_ = kvdb.Close(kv)
				<-locked
			}
			select {
			case <-over:
				return
			default:
			}
		}
	}
	for range contenders {
		running.Go(contend)
	}
	token := uint64(0)
	for range *kills {
		h := receive(t, held, "a holder")
		require.Greater(t, h.pair.ModifiedIndex, token)
		token = h.pair.ModifiedIndex
		h.o.kill()
	}
	close(over)
}
