package zookeeper

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

var (
	watchedNodes = flag.Int("kvdb.watched", 1000, "znodes that TestWatchOverReconnects watches; 10000 is what is promised")
	reconnects   = flag.Int("kvdb.reconnects", 2, "reconnects of TestWatchOverReconnects; 10 is what is promised")
	kills        = flag.Int("kvdb.kills", 2, "holders of a lock that tests of contenders kill, or cut off; 50 is what is promised")
)

// A watch of thousands of znodes loses no event when its connection is lost. The
// paths together are larger than a request may be.
func TestWatchOverReconnects(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	watching, writing := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	long := strings.Repeat("long", 1 + defaultMaxRequest / *watchedNodes / 4)
	key := func(i int) string { return fmt.Sprintf("dir/%d/%s-%d", i%10, long, i) }
	const batch = 100
	for from := 0; from < *watchedNodes; from += batch {
		tx, err := writing.TxNew()
		require.NoError(t, err)
		for i := from; i < min(from+batch, *watchedNodes); i++ {
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
			require.Greater(t, event.ModifiedIndex, last[event.Key], "a repeated or older event")
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
	require.Empty(t, seen, "no event comes twice")
}
