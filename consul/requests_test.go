package consul

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

const txn = "PUT /v1/txn"

// attempts is a hook that counts attempts at requests.
type attempts struct{ atomic.Int32 }

func (a *attempts) OnRequest(context.Context, kvdb.Request) { a.Add(1) }

// Each operation of an instance that is in use sends these requests.
func TestRequests(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "requests", []string{o.URL}, nil)
	seen := &attempts{}
	require.NoError(t, kvdb.AddHooks(kv, seen))
	var pair, lock *kvdb.KVPair
	put := func(key string, ttl uint64) func() error {
		return func() (err error) { pair, err = kv.Put(key, "value", ttl); return err }
	}
	get, list, session := "GET /v1/kv/requests/key", "GET /v1/kv/requests/", "PUT /v1/session/create"
	require.NoError(t, put("warm", 0)()) // the first write makes a session
	lock, err := kv.Lock("warm-lock")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
	require.NoError(t, put("other", 0)())
	require.NoError(t, put("dir/key", 0)())
	for _, c := range []struct {
		name string
		call func() error
		want []string
	}{
		{"Put, new", put("key", 0), []string{txn}},
		{"Put, again", put("key", 0), []string{txn}},
		{"Get", func() error { _, err := kv.Get("key"); return err }, []string{get}},
		{"Create", func() error { _, err := kv.Create("new", "value", 0); return err }, []string{txn}},
		{"Update", func() (err error) { pair, err = kv.Update("key", "value", 0); return err }, []string{txn}},
		{"CompareAndSet, index", func() (err error) {
			pair, err = kv.CompareAndSet(pair, kvdb.KVModifiedIndex, nil)
			return err
		}, []string{txn}},
		{"CompareAndSet, exists", func() error {
			_, err := kv.CompareAndSet(pair, kvdb.KVPrevExists, nil)
			return err
		}, []string{txn}},
		// Consul has no guard for values.
		{"CompareAndSet, value", func() (err error) {
			pair, err = kv.CompareAndSet(pair, 0, []byte("value"))
			return err
		}, []string{get, txn}},
		{"CompareAndDelete, index", func() error {
			_, err := kv.CompareAndDelete(pair, kvdb.KVModifiedIndex)
			return err
		}, []string{txn}},
		{"CompareAndDelete, value", func() error {
			_, err := kv.CompareAndDelete(&kvdb.KVPair{Key: "new", Value: []byte("value")}, 0)
			return err
		}, []string{"GET /v1/kv/requests/new", txn}},
		{"Delete", func() error { _, err := kv.Delete("other"); return err }, []string{txn}},
		{"DeleteTree", func() error { return kv.DeleteTree("dir") }, []string{txn}},
		{"Enumerate", func() error { _, err := kv.Enumerate(""); return err }, []string{list}},
		{"Keys", func() error { _, err := kv.Keys("", ""); return err }, []string{list}},
		{"Snapshot", func() error { _, _, err := kv.Snapshot(nil, true); return err }, []string{txn}},
		{"Snapshot of three", func() error { _, _, err := kv.Snapshot([]string{"a", "b", "c"}, true); return err }, []string{txn}},
		{"Put with a TTL", put("key", 60), []string{session, txn}},
		{"IsKeyLocked", func() error { _, _, err := kv.IsKeyLocked("lock"); return err }, []string{"GET /v1/kv/requests/lock"}},
		{"Lock", func() (err error) { lock, err = kv.Lock("lock"); return err }, []string{txn}},
		{"Unlock", func() error { return kv.Unlock(lock) }, []string{txn}},
		{"Tx", func() error {
			tx, err := kv.TxNew()
			require.NoError(t, err)
			for _, key := range []string{"tx/1", "tx/2"} {
				_, err = tx.Put(key, "value", 0)
				require.NoError(t, err)
			}
			return tx.Commit()
		}, []string{txn, txn}},
	} {
		o.take()
		seen.Store(0)
		require.NoError(t, c.call(), c.name)
		require.EqualValues(t, len(c.want), seen.Load(), "%s: attempts that hooks have seen", c.name)
		require.Equal(t, c.want, atOnce(o.take()), c.name)
	}
}

// A write over a value with a TTL reads the TTL's session and ends it.
func TestRequestsOverTTL(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "requests", []string{o.URL}, nil)
	_, err := kv.Put("warm", "value", 0)
	require.NoError(t, err)
	_, err = kv.Put("key", "value", 60)
	require.NoError(t, err)
	o.take()
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	var made []string
	eventually(t, "the session does not end", func() bool {
		made = append(made, o.take()...)
		return len(made) >= 4
	})
	require.Equal(t, []string{txn, "GET /v1/kv/requests/key", txn}, made[:3])
	require.Contains(t, made[3], "PUT /v1/session/destroy/")
	require.Len(t, made, 4)
}

// A waiter for a lock sends requests at the beginning and when the lock is released.
func TestRequestsOfAWaiter(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	holder := open(t, "requests", cluster.Endpoints(), nil)
	waiter := open(t, "requests", []string{o.URL}, nil)
	warm, err := waiter.Lock("warm")
	require.NoError(t, err)
	require.NoError(t, waiter.Unlock(warm))
	held, err := holder.Lock("key")
	require.NoError(t, err)
	o.take()
	obtained := make(chan error, 1)
	go func() {
		lock, err := waiter.LockWithTimeout("key", "waiter", await, 0)
		if err == nil {
			err = waiter.Unlock(lock)
		}
		obtained <- err
	}()
	get := "GET /v1/kv/requests/key"
	var made []string
	eventually(t, "there is no waiter", func() bool {
		made = append(made, o.take()...)
		return len(made) >= 3
	})
	for range 20 {
		_, err := holder.Put("elsewhere", "value", 0)
		require.NoError(t, err)
	}
	require.NoError(t, holder.Unlock(held))
	require.NoError(t, receive(t, obtained, "the lock"))
	made = append(made, o.take()...)
	require.Equal(t, []string{txn, get, get + "?index"}, made[:3], "try, look, wait")
	require.Equal(t, []string{txn, txn}, atOnce(made[3:]), "lock, unlock")
}
