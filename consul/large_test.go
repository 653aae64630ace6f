package consul

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// large is a value of 500 KiB that begins with text.
func large(text string) []byte {
	return append([]byte(text), bytes.Repeat([]byte("x"), 500<<10-len(text))...)
}

// A value that is too large for a transaction, but not for Consul, can be written under all
// conditions, and the returned pair has the indexes of the write.
func TestLargeValues(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "large", cluster.Endpoints(), nil)
	stream := events(t, kv, "", 0)
	written := func(pair *kvdb.KVPair, err error) *kvdb.KVPair {
		t.Helper()
		require.NoError(t, err)
		now, err := kv.Get("key")
		require.NoError(t, err)
		require.True(t, bytes.Equal(pair.Value, now.Value))
		require.Equal(t, []uint64{now.CreatedIndex, now.ModifiedIndex}, []uint64{pair.CreatedIndex, pair.ModifiedIndex})
		require.Equal(t, pair.ModifiedIndex, receive(t, stream, "the event of the write").ModifiedIndex)
		return pair
	}
	pair := written(kv.Create("key", large("1"), 0))
	require.Equal(t, pair.CreatedIndex, pair.ModifiedIndex)
	_, err := kv.Create("key", large("2"), 0)
	require.Equal(t, kvdb.ErrExist, err)
	_, err = kv.Update("none", large("2"), 0)
	require.Equal(t, kvdb.ErrNotFound, err)
	before := pair.ModifiedIndex
	pair = written(kv.Put("key", large("1"), 0))
	require.Greater(t, pair.ModifiedIndex, before, "the same value")
	pair.Value = large("2")
	pair = written(kv.CompareAndSet(pair, kvdb.KVModifiedIndex, nil))
	pair.Value = large("3")
	stale := *pair
	written(kv.CompareAndSet(pair, 0, large("2")))
	_, err = kv.CompareAndSet(&stale, kvdb.KVModifiedIndex, nil)
	require.Equal(t, kvdb.ErrModified, err)
	_, err = kv.CompareAndSet(&stale, 0, large("2"))
	require.Equal(t, kvdb.ErrValueMismatch, err)
	written(kv.Update("key", large("4"), 0))
	written(kv.Put("key", "small", 0))
	written(kv.Put("key", large("5"), 0))
	gone, err := kv.Delete("key")
	require.NoError(t, err)
	require.True(t, bytes.Equal(large("5"), gone.Value))

	// At a key that is a lock, or that a lock has left behind.
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	_, err = kv.Put("lock", large("6"), 0)
	require.Equal(t, kvdb.ErrInvalidLock, err)
	notLost(t, lock)
	require.NoError(t, kv.Unlock(lock))
	left := &api.KVPair{Key: "large/left", Value: []byte("them"), Flags: api.LockFlagValue, Session: newSession(t, client, api.SessionBehaviorRelease)}
	_, _, err = client.KV().Acquire(left, nil)
	require.NoError(t, err)
	_, _, err = client.KV().Release(left, nil)
	require.NoError(t, err)
	pair, err = kv.Create("left", large("7"), 0)
	require.NoError(t, err)
	require.Equal(t, pair.CreatedIndex, pair.ModifiedIndex)

	// A TTL needs a transaction. The error names the limit of a transaction.
	_, err = kv.Put("ttl", "value", 60)
	require.NoError(t, err)
	for _, ttl := range []uint64{0, 60} {
		_, err = kv.Put("ttl", large("8"), ttl)
		require.ErrorIs(t, err, kvdb.ErrTooLarge)
		require.ErrorContains(t, err, "524288")
	}
	pair, err = kv.Get("ttl")
	require.NoError(t, err)
	require.Equal(t, "value", string(pair.Value))
}

// A server with a larger limit accepts larger transactions.
func TestLimitsOfTheServer(t *testing.T) {
	t.Parallel()
	const limit = 4 << 20
	cluster := servers.Consul(t, servers.Options{Config: []string{"limits { kv_max_value_size = 4194304 }"}})
	kv := open(t, "large", cluster.Endpoints(), nil)
	whole := bytes.Repeat([]byte("x"), limit)
	for _, size := range []int{limit, limit / 2} {
		_, err := kv.Put("key", whole[:size], 0)
		require.NoError(t, err)
		pair, err := kv.Get("key")
		require.NoError(t, err)
		require.Len(t, pair.Value, size)
	}
	_, err := kv.Put("key", append(whole, 'x'), 0)
	require.ErrorIs(t, err, kvdb.ErrTooLarge)
	require.ErrorContains(t, err, strconv.Itoa(limit))
	_, err = kv.Put("ttl", whole[:limit/2], 60)
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	for _, key := range []string{"a", "b"} {
		_, err = tx.Put(key, whole[:limit/4], 0)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Prepare())
	require.NoError(t, tx.Commit())
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Len(t, pairs, 4)
}

// Large values raise a counter by compare-and-set, and none is lost.
func TestLargeCounter(t *testing.T) {
	t.Parallel()
	const daemons, each = 3, 5
	cluster := servers.Consul(t, servers.Options{})
	pad := bytes.Repeat([]byte(" "), 400<<10)
	value := func(n int) []byte { return append([]byte(strconv.Itoa(n)), pad...) }
	first := open(t, "large", cluster.Endpoints(), nil)
	_, err := first.Create("counter", value(0), 0)
	require.NoError(t, err)
	read := func(pair *kvdb.KVPair) int {
		n, err := strconv.Atoi(string(bytes.TrimSpace(pair.Value)))
		require.NoError(t, err)
		return n
	}
	var all sync.WaitGroup
	for range daemons {
		kv := open(t, "large", cluster.Endpoints(), nil)
		all.Go(func() {
			for done := 0; done < each; {
				pair, err := kv.Get("counter")
				require.NoError(t, err)
				pair.Value = value(read(pair) + 1)
				switch _, err = kv.CompareAndSet(pair, kvdb.KVModifiedIndex, nil); err {
				case nil:
					done++
				case kvdb.ErrModified:
				default:
					require.NoError(t, err)
				}
			}
		})
	}
	all.Wait()
	pair, err := first.Get("counter")
	require.NoError(t, err)
	require.Equal(t, daemons*each, read(pair))
}

// When a large write is overwritten before its index is read, it returns an index with which
// no later compare-and-set succeeds. When its reply is lost, the key is read.
func TestLargeWriteDisturbed(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "large", []string{o.URL}, nil)
	other := open(t, "large", cluster.Endpoints(), nil)
	client := raw(t, cluster.All()[0])
	var next func()
	var disturb atomic.Bool
	o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.URL.Path != "/v1/kv/large/key" || !disturb.CompareAndSwap(true, false) {
			return false
		}
		o.proxy.ServeHTTP(w, r)
		next()
		return true
	})
	for _, there := range []bool{false, true} {
		for name, f := range map[string]func() error{
			"written": func() error { _, err := other.Put("key", "other", 0); return err },
			"deleted": func() error { _, err := other.Delete("key"); return err },
			"deleted and written": func() error {
				if _, err := other.Delete("key"); err != nil {
					return err
				}
				_, err := other.Put("key", "other", 0)
				return err
			},
			"written with the flags that are there": func() error {
				there, _, err := client.KV().Get("large/key", nil)
				if err == nil {
					there.Value = []byte("other")
					_, err = client.KV().Put(there, nil)
				}
				return err
			},
		} {
			require.NoError(t, other.DeleteTree(""))
			before := uint64(0)
			if there {
				pair, err := other.Put("key", "before", 0)
				require.NoError(t, err)
				before = pair.CreatedIndex
			}
			next = func() { require.NoError(t, f(), name) }
			disturb.Store(true)
			pair, err := kv.Put("key", large("1"), 0)
			require.NoError(t, err, name)
			require.Greater(t, pair.ModifiedIndex, before, name)
			if there {
				require.Equal(t, before, pair.CreatedIndex, name)
			} else {
				require.Equal(t, pair.ModifiedIndex, pair.CreatedIndex, name)
			}
			_, err = kv.CompareAndSet(pair, kvdb.KVModifiedIndex|kvdb.KVCreatedIndex, nil)
			require.Error(t, err, name)
		}
	}
	next = func() {}
	o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		o.proxy.ServeHTTP(discard{http.Header{}}, r)
		sever(w)
		return true
	})
	pair, err := kv.Put("key", large("2"), 0)
	require.NoError(t, err)
	now, err := other.Get("key")
	require.NoError(t, err)
	require.Equal(t, now.ModifiedIndex, pair.ModifiedIndex)
}

// When a large write has run and its index cannot be read, the outcome is unknown.
func TestLargeWriteOfUnknownIndex(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "large", []string{o.URL}, nil)
	var written atomic.Bool
	o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if written.Load() {
			answer(w, r, http.StatusInternalServerError, "No cluster leader")
			return true
		}
		written.Store(r.Method == http.MethodPut)
		return false
	})
	_, err := kv.Put("key", large("1"), 0)
	require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
	require.NotErrorIs(t, err, kvdb.ErrNoConnection)
	require.ErrorContains(t, err, "No cluster leader")
}
