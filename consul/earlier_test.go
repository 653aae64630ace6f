package consul

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// earlier does what a daemon with an earlier release does, with Consul's own client.
type earlier struct {
	t      *testing.T
	client *api.Client
	domain string
}

func (e earlier) pair(key, value string, flags, index uint64) *api.KVPair {
	return &api.KVPair{Key: e.domain + "/" + key, Value: []byte(value), Flags: flags, ModifyIndex: index}
}

// compareAndSet writes a value if the key has the index; 0 is Create.
func (e earlier) compareAndSet(key, value string, index uint64) bool {
	e.t.Helper()
	done, _, err := e.client.KV().CAS(e.pair(key, value, api.LockFlagValue, index), nil)
	require.NoError(e.t, err)
	return done
}

func (e earlier) put(key, value string) {
	e.t.Helper()
	_, err := e.client.KV().Put(e.pair(key, value, 0, 0), nil)
	require.NoError(e.t, err)
}

// putTTL writes a value that ends with a session.
func (e earlier) putTTL(key, value string) {
	e.t.Helper()
	session := newSession(e.t, e.client, api.SessionBehaviorDelete)
	held := e.pair(key, "", api.LockFlagValue, 0)
	held.Session = session
	taken, _, err := e.client.KV().Acquire(held, nil)
	require.NoError(e.t, err)
	require.True(e.t, taken)
	e.put(key, value)
}

func (e earlier) get(key string) *api.KVPair {
	e.t.Helper()
	pair, _, err := e.client.KV().Get(e.domain+"/"+key, &api.QueryOptions{RequireConsistent: true})
	require.NoError(e.t, err)
	return pair
}

// lock returns a lock that makes one attempt.
func (e earlier) lock(key, owner, behavior string) *api.Lock {
	e.t.Helper()
	lock, err := e.client.LockOpts(&api.LockOptions{
		Key: e.domain + "/" + key, Value: []byte(owner), LockTryOnce: true, LockWaitTime: 100 * time.Millisecond,
		SessionOpts: &api.SessionEntry{TTL: "10s", LockDelay: time.Millisecond, Behavior: behavior},
	})
	require.NoError(e.t, err)
	return lock
}

// A value that an earlier release has written with Create or CompareAndSet has the flags of
// a lock and no session, and is a value for every call.
func TestValuesOfEarlierReleases(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	old := earlier{t, raw(t, cluster.All()[0]), "old"}
	kv := open(t, "old", cluster.Endpoints(), nil)
	stream := events(t, kv, "", 0)
	single := make(chan *kvdb.KVPair, 1000)
	require.NoError(t, kv.WatchKey("key", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		single <- pair
		return err
	}))
	transaction := func(f func(tx kvdb.Tx)) error {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		_, err = tx.Get("key")
		require.NoError(t, err)
		f(tx)
		return tx.Commit()
	}
	keysOf := func(kv kvdb.Kvdb, err error) []string {
		require.NoError(t, err)
		pairs, err := kv.Enumerate("")
		require.NoError(t, err)
		keys := []string{}
		for _, pair := range pairs {
			keys = append(keys, pair.Key)
		}
		return keys
	}
	for _, value := range []string{"value", ""} {
		write := func() *api.KVPair {
			t.Helper()
			_, err := old.client.KV().Delete("old/key", nil)
			require.NoError(t, err)
			require.True(t, old.compareAndSet("key", "first", 0))
			require.True(t, old.compareAndSet("key", value, old.get("key").ModifyIndex))
			return old.get("key")
		}
		there := write()
		for {
			event := receive(t, stream, "the event of the write")
			if event.ModifiedIndex == there.ModifyIndex {
				require.Equal(t, "key", event.Key)
				require.Equal(t, value, string(event.Value))
				require.NotEqual(t, kvdb.KVDelete, event.Action)
				break
			}
		}
		for event := receive(t, single, "the event of the key"); event.ModifiedIndex != there.ModifyIndex; {
			event = receive(t, single, "the event of the key")
		}
		pair, err := kv.Get("key")
		require.NoError(t, err)
		require.Equal(t, value, string(pair.Value))
		require.Equal(t, []uint64{there.CreateIndex, there.ModifyIndex}, []uint64{pair.CreatedIndex, pair.ModifiedIndex})
		require.Equal(t, []string{"key"}, keysOf(kv, nil))
		names, err := kv.Keys("", "")
		require.NoError(t, err)
		require.Equal(t, []string{"key"}, names)
		for _, consistent := range []bool{true, false} {
			snapshot, _, err := kv.Snapshot(nil, consistent)
			require.Equal(t, []string{"key"}, keysOf(snapshot, err))
		}
		_, err = kv.Create("key", "x", 0)
		require.Equal(t, kvdb.ErrExist, err)
		_, err = kv.Create("key", "x", 60)
		require.Equal(t, kvdb.ErrExist, err)
		_, err = kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("x")}, kvdb.KVModifiedIndex, nil)
		require.Equal(t, kvdb.ErrModified, err)
		_, err = kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("x")}, 0, []byte("other"))
		require.Equal(t, kvdb.ErrValueMismatch, err)
		for range 2 {
			_, err = kv.LockWithTimeout("key", "me", 200*time.Millisecond, 0)
			require.Equal(t, kvdb.ErrInvalidLock, err)
		}
		_, _, err = kv.IsKeyLocked("key")
		require.Equal(t, kvdb.ErrInvalidLock, err)
		require.NoError(t, transaction(func(tx kvdb.Tx) {}), "unchanged")
		require.Equal(t, kvdb.ErrModified, transaction(func(kvdb.Tx) {
			require.True(t, old.compareAndSet("key", "changed", old.get("key").ModifyIndex))
		}))

		for call, change := range map[string]func(pair *kvdb.KVPair) error{
			"Put":          func(*kvdb.KVPair) error { _, err := kv.Put("key", "new", 0); return err },
			"Put with TTL": func(*kvdb.KVPair) error { _, err := kv.Put("key", "new", 60); return err },
			"the same":     func(*kvdb.KVPair) error { _, err := kv.Put("key", value, 0); return err },
			"Update":       func(*kvdb.KVPair) error { _, err := kv.Update("key", "new", 0); return err },
			"CompareAndSet, index": func(pair *kvdb.KVPair) error {
				pair.Value = []byte("new")
				_, err := kv.CompareAndSet(pair, kvdb.KVModifiedIndex|kvdb.KVCreatedIndex, nil)
				return err
			},
			"CompareAndSet, value": func(*kvdb.KVPair) error {
				_, err := kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("new")}, 0, []byte(value))
				return err
			},
			"Tx": func(*kvdb.KVPair) error {
				return transaction(func(tx kvdb.Tx) { _, err := tx.Put("key", "new", 0); require.NoError(t, err) })
			},
		} {
			there := write()
			pair, err := kv.Get("key")
			require.NoError(t, err)
			require.NoError(t, change(pair), call)
			pair, err = kv.Get("key")
			require.NoError(t, err, call)
			require.Equal(t, there.CreateIndex, pair.CreatedIndex, "%s: the pair lives on", call)
			require.Greater(t, pair.ModifiedIndex, there.ModifyIndex, call)
			require.NotEqual(t, uint64(api.LockFlagValue), old.get("key").Flags, call)
		}
		for call, remove := range map[string]func() (*kvdb.KVPair, error){
			"Delete": func() (*kvdb.KVPair, error) { return kv.Delete("key") },
			"CompareAndDelete, value": func() (*kvdb.KVPair, error) {
				return kv.CompareAndDelete(&kvdb.KVPair{Key: "key", Value: []byte(value)}, 0)
			},
			"CompareAndDelete, index": func() (*kvdb.KVPair, error) {
				return kv.CompareAndDelete(&kvdb.KVPair{Key: "key", ModifiedIndex: old.get("key").ModifyIndex}, kvdb.KVModifiedIndex)
			},
		} {
			there := write()
			gone, err := remove()
			require.NoError(t, err, call)
			require.Equal(t, value, string(gone.Value), call)
			require.Equal(t, there.ModifyIndex, gone.ModifiedIndex, call)
			require.Nil(t, old.get("key"), call)
		}
	}
}

// A value with a TTL of an earlier release is held by a session that deletes it. It is not
// a lock, even with a lock's flags, and Lock does not take it.
func TestTTLsOfEarlierReleases(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	old := earlier{t, raw(t, cluster.All()[0]), "old"}
	kv := open(t, "old", cluster.Endpoints(), nil)
	for _, create := range []bool{false, true} {
		write := func() {
			t.Helper()
			_, err := old.client.KV().Delete("old/key", nil)
			require.NoError(t, err)
			old.putTTL("key", "value")
			if create {
				require.True(t, old.compareAndSet("key", "value", old.get("key").ModifyIndex))
			}
			require.NotEmpty(t, old.get("key").Session)
		}
		write()
		pair, err := kv.Get("key")
		require.NoError(t, err)
		require.Equal(t, "value", string(pair.Value))
		pairs, err := kv.Enumerate("")
		require.NoError(t, err)
		require.Len(t, pairs, 1)
		_, err = kv.Create("key", "x", 0)
		require.Equal(t, kvdb.ErrExist, err)
		_, err = kv.LockWithTimeout("key", "me", 200*time.Millisecond, 0)
		require.Equal(t, kvdb.ErrInvalidLock, err)
		_, _, err = kv.IsKeyLocked("key")
		require.Equal(t, kvdb.ErrInvalidLock, err)
		_, err = kv.CompareAndSet(pair, kvdb.KVModifiedIndex, nil)
		require.NoError(t, err)
		require.Empty(t, old.get("key").Session)
		write()
		_, err = kv.Put("key", "new", 0)
		require.NoError(t, err)
		require.Empty(t, old.get("key").Session)
		write()
		_, err = kv.Delete("key")
		require.NoError(t, err)

		stream := events(t, kv, "", 0)
		write()
		session := old.get("key").Session
		for event := receive(t, stream, "an event"); event.Action == kvdb.KVDelete; {
			event = receive(t, stream, "an event")
		}
		_, err = old.client.Session().Destroy(session, nil)
		require.NoError(t, err)
		for event := receive(t, stream, "an event"); event.Action != kvdb.KVDelete; {
			event = receive(t, stream, "an event")
		}
	}
}

// An earlier release reads what this one writes, and changes it by compare-and-set.
func TestReadByEarlierRelease(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	old := earlier{t, raw(t, cluster.All()[0]), "old"}
	kv := open(t, "old", cluster.Endpoints(), nil)
	for call, write := range map[string]func() (*kvdb.KVPair, error){
		"Put":          func() (*kvdb.KVPair, error) { return kv.Put("key", "value", 0) },
		"Create":       func() (*kvdb.KVPair, error) { return kv.Create("key", "value", 0) },
		"Put with TTL": func() (*kvdb.KVPair, error) { return kv.Put("key", "value", 60) },
	} {
		_, err := old.client.KV().Delete("old/key", nil)
		require.NoError(t, err)
		pair, err := write()
		require.NoError(t, err, call)
		there := old.get("key")
		require.Equal(t, "value", string(there.Value), call)
		require.Equal(t, pair.ModifiedIndex, there.ModifyIndex, call)
		require.False(t, old.compareAndSet("key", "x", 0), "%s: Create", call)
		_, err = old.lock("key", "them", api.SessionBehaviorRelease).Lock(nil)
		require.Equal(t, api.ErrLockConflict, err, "%s: Lock", call)
		require.True(t, old.compareAndSet("key", "changed", there.ModifyIndex), call)
		pair, err = kv.Get("key")
		require.NoError(t, err, call)
		require.Equal(t, "changed", string(pair.Value), call)
	}
}

// Two daemons of an earlier release and two of ours raise a counter.
func TestCounterOfOldAndNew(t *testing.T) {
	t.Parallel()
	const each = 50
	cluster := servers.Consul(t, servers.Options{})
	old := earlier{t, raw(t, cluster.All()[0]), "old"}
	require.True(t, old.compareAndSet("counter", "0", 0))
	next := func(value []byte) string {
		n, err := strconv.Atoi(string(value))
		require.NoError(t, err)
		return strconv.Itoa(n + 1)
	}
	var daemons sync.WaitGroup
	for range 2 {
		daemons.Go(func() {
			for done := 0; done < each; {
				if pair := old.get("counter"); old.compareAndSet("counter", next(pair.Value), pair.ModifyIndex) {
					done++
				}
			}
		})
	}
	for i, flags := range []kvdb.KVFlags{kvdb.KVModifiedIndex, 0} {
		kv := open(t, "old", cluster.Endpoints(), nil)
		daemons.Go(func() {
			for done := 0; done < each; {
				pair, err := kv.Get("counter")
				require.NoError(t, err, i)
				before := pair.Value
				pair.Value = []byte(next(before))
				_, err = kv.CompareAndSet(pair, flags, before)
				switch err {
				case nil:
					done++
				case kvdb.ErrModified, kvdb.ErrValueMismatch:
				default:
					require.NoError(t, err, i)
				}
			}
		})
	}
	daemons.Wait()
	require.Equal(t, fmt.Sprint(4*each), string(old.get("counter").Value))
}
