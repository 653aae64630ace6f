package consul

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A watch makes one query for each change, and only one at a time.
func TestWatchRequests(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	writer := open(t, "watch", cluster.Endpoints(), nil)
	kv := open(t, "watch", []string{o.URL}, nil)
	put := func(key string) {
		_, err := writer.Put(key, "value", 0)
		require.NoError(t, err)
	}
	put("dir/0")
	o.take()
	stream := events(t, kv, "dir/", 0)
	const changes = 20
	for i := range changes {
		put("dir/" + strconv.Itoa(i))
		put("elsewhere")
		receive(t, stream, "an event")
	}
	put("elsewhere")
	lists := len(o.take())
	require.LessOrEqual(t, lists, changes+2, "lists for %d changes", changes)
	require.Equal(t, 1, o.most, "queries at a time")
}

// A watch of a missing key makes no query for each write to other keys.
func TestWatchOfAMissingKey(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	writer := open(t, "watch", cluster.Endpoints(), nil)
	kv := open(t, "watch", []string{o.URL}, nil)
	stream := events(t, kv, "none/", 0)
	const writes = 500
	began := time.Now()
	for i := range writes {
		_, err := writer.Put("other/"+strconv.Itoa(i%7), "value", 0)
		require.NoError(t, err)
	}
	most := 8 + int(time.Since(began)/(100*time.Millisecond))
	require.LessOrEqual(t, len(o.take()), most, "requests during %d writes elsewhere", writes)
	_, err := writer.Put("none/key", "value", 0)
	require.NoError(t, err)
	require.Equal(t, "none/key", receive(t, stream, "an event").Key)
}

// A watch reports each deleted key, even one that was created again since.
func TestDeletedKeysAreNamed(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "watch", cluster.Endpoints(), nil)
	before := map[string]*kvdb.KVPair{}
	for _, key := range []string{"dir/gone", "dir/reborn", "dir/stays"} {
		pair, err := kv.Put(key, "1", 0)
		require.NoError(t, err)
		before[key] = pair
	}
	stream := events(t, kv, "dir/", 0)
	one := func(verb api.KVOp, key, value string) *api.TxnOp {
		return op(api.KVTxnOp{Verb: verb, Key: "watch/" + key, Value: []byte(value)})
	}
	applied, _, _, err := client.Txn().Txn(api.TxnOps{
		one(api.KVDelete, "dir/gone", ""), one(api.KVDelete, "dir/reborn", ""),
		one(api.KVSet, "dir/reborn", "2"), one(api.KVSet, "dir/stays", "2"),
	}, nil)
	require.NoError(t, err)
	require.True(t, applied)
	told := map[string][]kvdb.KVAction{}
	last := map[string]uint64{}
	for range 4 {
		event := receive(t, stream, "an event")
		told[event.Key] = append(told[event.Key], event.Action)
		require.Greater(t, event.ModifiedIndex, max(last[event.Key], before[event.Key].ModifiedIndex))
		last[event.Key] = event.ModifiedIndex
	}
	require.Equal(t, map[string][]kvdb.KVAction{
		"dir/gone": {kvdb.KVDelete}, "dir/reborn": {kvdb.KVDelete, kvdb.KVCreate}, "dir/stays": {kvdb.KVSet},
	}, told)
}

// Many watches and waiters for locks, which occupy a connection each, do not delay other
// calls.
func TestManyWatches(t *testing.T) {
	const n = 150
	cluster := servers.Consul(t, servers.Options{})
	kv := open(t, "watch", cluster.Endpoints(), nil)
	var streams []<-chan *kvdb.KVPair
	for i := range n {
		streams = append(streams, events(t, kv, "dir/"+strconv.Itoa(i)+"/", 0))
	}
	began := time.Now()
	for i := range n {
		_, err := kv.Put(fmt.Sprintf("dir/%d/key", i), "value", 0)
		require.NoError(t, err)
	}
	require.Less(t, time.Since(began), await)
	for i, stream := range streams {
		require.Equal(t, fmt.Sprintf("dir/%d/key", i), receive(t, stream, "an event").Key)
	}
}

// A watch continues when Consul is busy, and waits before its next query.
func TestWatchOfABusyServer(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "watch", []string{o.URL}, nil)
	stream := events(t, kv, "dir/", 0)
	for _, code := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		var refused atomic.Int32
		o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !r.URL.Query().Has("index") || refused.Load() == 5 {
				return false
			}
			refused.Add(1)
			answer(w, r, code, "busy")
			return true
		})
		began := time.Now()
		for i := 0; refused.Load() < 5; i++ { // after each event the watch sends a new query
			_, err := kv.Put("dir/key", strconv.Itoa(i), 0)
			require.NoError(t, err)
			if i == 0 {
				receive(t, stream, "an event")
			}
			eventually(t, "the watch does not ask again", func() bool { return refused.Load() > 0 })
			eventually(t, "the watch does not ask again", func() bool { return refused.Load() == 5 })
		}
		require.Greater(t, time.Since(began), 200*time.Millisecond, "asked 5 times without a pause")
		_, err := kv.Put("dir/end"+strconv.Itoa(code), "value", 0)
		require.NoError(t, err)
		for event := receive(t, stream, "an event"); !strings.HasPrefix(event.Key, "dir/end"); event = receive(t, stream, "an event") {
			require.Equal(t, "dir/key", event.Key)
		}
	}
}

// After an index that is smaller than before, or 0, a watch makes a query that does not
// block. It has neither a gap nor a repeat, and does not query without pause.
func TestWatchIndexGoesBack(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	writer := open(t, "watch", cluster.Endpoints(), nil)
	kv := open(t, "watch", []string{o.URL}, nil)
	put := func(key string) {
		_, err := writer.Put("dir/"+key, "value", 0)
		require.NoError(t, err)
	}
	put("before")
	stream := events(t, kv, "dir/", 0)
	for i, index := range []string{"1", "0", "2", "0"} {
		var odd atomic.Int32
		o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if odd.Add(1) > 3 {
				return false
			}
			query := r.URL.Query()
			query.Del("index")
			r.URL.RawQuery = query.Encode()
			o.proxy.ServeHTTP(withIndex{w, index}, r)
			return true
		})
		o.take()
		began := time.Now()
		for _, name := range []string{"a", "b"} {
			key := name + strconv.Itoa(i)
			put(key)
			require.Equal(t, "dir/"+key, receive(t, stream, "an event").Key)
		}
		eventually(t, "the watch does not ask again", func() bool { return odd.Load() > 3 })
		most := 8 + int(time.Since(began)/(5*time.Millisecond))
		require.LessOrEqual(t, len(o.take()), most, "requests")
	}
}

// withIndex replaces the index of Consul's reply.
type withIndex struct {
	http.ResponseWriter
	index string
}

func (w withIndex) WriteHeader(code int) {
	w.Header().Set("X-Consul-Index", w.index)
	w.ResponseWriter.WriteHeader(code)
}

// A watch ends when its token loses the permission to read.
func TestWatchRefused(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "watch", []string{o.URL}, nil)
	stream := events(t, kv, "dir/", 0)
	o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("index") {
			answer(w, r, http.StatusForbidden, "Permission denied")
			return true
		}
		return false
	})
	_, err := kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	for event := receive(t, stream, "the end of the watch"); event != nil; {
		event = receive(t, stream, "the end of the watch")
	}
}
