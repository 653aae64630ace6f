package zookeeper

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Keys are deleted, and created again just when a watch has read, once or twice,
// that they are gone, and is about to read what else there is. The new keys are
// told, and watched.
func TestWatchOfRecreatedKeys(t *testing.T) {
	for reads := 1; reads <= 2; reads++ {
		t.Run(strconv.Itoa(reads), func(t *testing.T) { watchRecreated(t, reads) })
	}
}

func watchRecreated(t *testing.T, reads int) {
	const n = 16
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	key := func(i int) string { return fmt.Sprintf("dir/key-%02d", i) }
	put := func(key, value string) {
		_, err := other.Put(key, value, 0)
		require.NoError(t, err)
	}
	put("dir/other", "first")
	untold, unread := map[string]bool{"/d/dir": true}, map[string]int{} // by path
	for i := range n {
		put(key(i), "first")
		untold["/d/"+key(i)], unread["/d/"+key(i)] = true, reads
	}
	seen := events(t, kv, "dir/", 0)

	// What the watch reads because of the other key waits until it was told all
	// about the deletions.
	reading, told, recreated := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once sync.Once
	o.intercept(func(q traffic) <-chan struct{} {
		switch q {
		case traffic{q.conn, "getData", "/d/dir/other"}:
			once.Do(func() { close(reading) })
			return told
		case traffic{q.conn, "getChildren", "/d/dir"}:
			return recreated
		}
		return nil
	}, func(q traffic) { // there is one connection with watches
		switch {
		case q.operation == event && untold[q.path]:
			if delete(untold, q.path); len(untold) == 0 {
				close(told)
			}
		case q.operation == "getData" && unread[q.path] > 0:
			if unread[q.path]--; unread[q.path] > 0 {
				return
			}
			if delete(unread, q.path); len(unread) == 0 {
				for i := range n {
					put(key(i), "again")
				}
				close(recreated)
			}
		}
	})
	put("dir/other", "second")
	receive(t, reading, "the watch to read")
	for i := range n {
		_, err := other.Delete(key(i))
		require.NoError(t, err)
	}

	last := uint64(0)
	of := map[string][]kvdb.KVAction{} // by key
	for again := 0; again < n; {
		pair := receive(t, seen, "the keys")
		require.NotNil(t, pair)
		require.GreaterOrEqual(t, pair.ModifiedIndex, last, "the order of events")
		last = pair.ModifiedIndex
		of[pair.Key] = append(of[pair.Key], pair.Action)
		if string(pair.Value) == "again" {
			again++
			require.Equal(t, []kvdb.KVAction{kvdb.KVDelete, kvdb.KVCreate}, of[pair.Key], pair.Key)
		}
	}
	for i := range n {
		put(key(i), "last")
		pair := receive(t, seen, "the last write")
		require.Equal(t, "last", string(pair.Value))
		require.Equal(t, kvdb.KVSet, pair.Action)
		require.Equal(t, key(i), pair.Key)
	}
}
