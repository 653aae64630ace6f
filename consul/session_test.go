package consul

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// When a lock or a TTL ends, in whatever way, its session ends too.
func TestSessionsAreNotLeaked(t *testing.T) {
	t.Parallel()
	const n = 500
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	before := sessions(t, client)
	kv, err := New("sessions", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	each(t, n, func(i int) error {
		pair, err := kv.Lock(fmt.Sprint("lock/", i))
		if err != nil {
			return err
		}
		return kv.Unlock(pair)
	})
	require.LessOrEqual(t, len(sessions(t, client)), len(before)+1, "all locks have one session")

	key := func(i int) string { return "dir/" + strconv.Itoa(i) }
	each(t, n, func(i int) error { _, err := kv.Put(key(i), "value", 3600); return err })
	require.GreaterOrEqual(t, len(sessions(t, client)), len(before)+n)
	each(t, n, func(i int) error {
		var err error
		switch i % 5 {
		case 0:
			_, err = kv.Put(key(i), "plain", 0)
		case 1:
			_, err = kv.Put(key(i), "again", 7200)
		case 2:
			_, err = kv.Delete(key(i))
		case 3:
			_, err = kv.Create(key(i), "refused", 60)
			if err == kvdb.ErrExist {
				_, err = kv.Update(key(i), "plain", 0)
			}
		case 4:
			var tx kvdb.Tx
			if tx, err = kv.TxNew(); err == nil {
				_, err = tx.Put(key(i), "plain", 0)
			}
			if err == nil {
				err = tx.Commit()
			}
		}
		return err
	})
	eventually(t, "sessions of keys that have no TTL any more", func() bool {
		return len(sessions(t, client)) <= len(before)+n/5+2
	})
	require.NoError(t, kv.DeleteTree("dir"))
	eventually(t, "sessions of a tree that was deleted", func() bool { return len(sessions(t, client)) <= len(before)+2 })
	require.NoError(t, kvdb.Close(kv))
	require.ElementsMatch(t, before, sessions(t, client))
}

// A value with a TTL remains when its instance is closed.
func TestCloseKeepsTTL(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	kv, err := New("ttl", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	_, err = kv.Put("key", "value", 60)
	require.NoError(t, err)
	require.NoError(t, kvdb.Close(kv))
	_, err = open(t, "ttl", cluster.Endpoints(), nil).Get("key")
	require.NoError(t, err)
}

// A write with a TTL that Close ends before it has run leaves no session behind.
func TestCloseEndsWriteWithTTL(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	o := observe(t, cluster.Endpoints()[0])
	kv, err := New("ttl", []string{o.URL}, nil, nil)
	require.NoError(t, err)
	_, err = kv.Put("key", "value", 3600)
	require.NoError(t, err)
	asked := make(chan struct{}, 1)
	o.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/kv/ttl/key" {
			return false
		}
		asked <- struct{}{}
		<-r.Context().Done()
		return true
	})
	done := make(chan error, 1)
	go func() { _, err := kv.Put("key", "again", 3600); done <- err }()
	receive(t, asked, "the read before the write")
	require.NoError(t, kvdb.Close(kv))
	require.ErrorIs(t, receive(t, done, "Put"), kvdb.ErrClosed)
	require.Len(t, ttlSessions(sessions(t, client), 0), 1)
}

// The session of an idle instance ends.
func TestUnusedSessionEnds(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "idle", cluster.Endpoints(), nil)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	require.Equal(t, 1, len(sessions(t, client)))
	s := storeOf(t, cluster)
	require.Equal(t, 30*time.Second, s.writer.idle, "as the documentation says")
	s.writer.idle = 3 * renewInterval
	idle, err := s.writer.session(t.Context())
	require.NoError(t, err)
	began := time.Now()
	eventually(t, "the session is not used long enough", func() bool {
		used, err := s.writer.session(t.Context())
		require.NoError(t, err)
		require.Equal(t, idle.id, used.id, "a session that is in use was replaced")
		return time.Since(began) > 2*s.writer.idle
	})
	receive(t, idle.ctx.Done(), "the end of the unused session")
	eventually(t, "the unused session still exists in Consul", func() bool { return len(sessions(t, client)) == 1 })
	held, err := s.locks.session(t.Context())
	require.NoError(t, err)
	held.retire()
	receive(t, held.ctx.Done(), "the end of the retired session")
	again, err := s.locks.session(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, held.id, again.id)
}

// A write replaces the TTL of an earlier write, also of another program, and leaves the
// flags and the session of a plain value.
func TestPlainValue(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "plain", cluster.Endpoints(), nil)
	look := func() *api.KVPair {
		t.Helper()
		pair, _, err := client.KV().Get("plain/key", nil)
		require.NoError(t, err)
		return pair
	}
	isPlain := func() {
		t.Helper()
		pair := look()
		require.Equal(t, "value", string(pair.Value))
		require.Zero(t, pair.Flags)
		require.Empty(t, pair.Session)
	}
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	isPlain()
	// A write of the same value is also a write.
	for call, again := range map[string]func() (*kvdb.KVPair, error){
		"Put":    func() (*kvdb.KVPair, error) { return kv.Put("key", "value", 0) },
		"Update": func() (*kvdb.KVPair, error) { return kv.Update("key", "value", 0) },
		"CompareAndSet": func() (*kvdb.KVPair, error) {
			return kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("value")}, 0, []byte("value"))
		},
	} {
		before := look()
		pair, err := again()
		require.NoError(t, err, call)
		require.Greater(t, pair.ModifiedIndex, before.ModifyIndex, call)
		require.Equal(t, pair.ModifiedIndex, look().ModifyIndex, call)
		require.Equal(t, before.CreateIndex, look().CreateIndex, call)
		isPlain()
	}
	// Another program's value with a TTL.
	session := newSession(t, client, api.SessionBehaviorDelete)
	taken, _, err := client.KV().Acquire(&api.KVPair{Key: "plain/key", Value: []byte("other"), Session: session}, nil)
	require.NoError(t, err)
	require.True(t, taken)
	pair, err := kv.Get("key")
	require.NoError(t, err)
	require.Equal(t, "other", string(pair.Value))
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	isPlain()
	_, err = kv.Put("key", "short", 60)
	require.NoError(t, err)
	require.NotEmpty(t, look().Session)
	session = look().Session
	_, err = kv.Update("key", "value", 0)
	require.NoError(t, err)
	isPlain()
	// The value is not deleted with its former session.
	_, err = client.Session().Destroy(session, nil)
	require.NoError(t, err)
	isPlain()
}

// A late write has its whole TTL, and not a much longer one.
func TestExpiryOfALateWrite(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "late", []string{o.URL}, nil)
	stream := events(t, kv, "", 0)
	written, gone := map[string]time.Time{}, map[string]time.Duration{}
	for _, late := range []time.Duration{0, 2 * time.Second} {
		o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v1/txn" {
				o.intercept(nil)
				time.Sleep(late) // Consul is slow
			}
			return false
		})
		key := "late-" + late.String()
		_, err := kv.Put(key, "value", uint64(minTTL/time.Second))
		require.NoError(t, err)
		written[key] = time.Now()
	}
	for len(gone) < len(written) {
		if event := receive(t, stream, "an event"); event.Action == kvdb.KVDelete {
			gone[event.Key] = time.Since(written[event.Key])
		}
	}
	for key, after := range gone {
		t.Logf("%s lived for %v", key, after)
		require.Greater(t, after, minTTL-100*time.Millisecond, key) // Put returns a little later than it writes
		require.Less(t, after, minTTL+5*time.Second, key)           // a busy machine is slow; a session may live twice as long
	}
}

// If the outcome of a write is not known and it did not run, its session ends by its TTL, or
// with the value if the write runs late.
func TestSessionOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "unknown", []string{o.URL}, nil)
	var late *http.Request
	o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/txn" {
			return false
		}
		o.intercept(nil)
		body, _ := io.ReadAll(r.Body)
		late, _ = http.NewRequest(r.Method, cluster.All()[0].Direct()+r.URL.Path, bytes.NewReader(body))
		sever(w)
		return true
	})
	_, err := kv.Put("key", "value", 60)
	require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
	_, err = kv.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err)
	left, _, err := client.Session().List(nil)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, ((60*time.Second + ttlSlack) / sessionFactor).String(), left[0].TTL)
	require.Equal(t, api.SessionBehaviorDelete, left[0].Behavior)

	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	reply, err := transport.RoundTrip(late)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	_, err = kv.Get("key")
	require.NoError(t, err)
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	eventually(t, "the session does not end", func() bool {
		return !slices.ContainsFunc(sessions(t, client), func(name string) bool { return strings.HasPrefix(name, "kvdb TTL") })
	})
}

// A key may be written again as soon as it has expired.
func TestNoLockDelay(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "delay", cluster.Endpoints(), nil)
	for range 5 {
		_, err := kv.Put("key", "value", 60)
		require.NoError(t, err)
		pair, _, err := client.KV().Get("delay/key", nil)
		require.NoError(t, err)
		_, err = client.Session().Destroy(pair.Session, nil) // as Consul does it
		require.NoError(t, err)
		_, err = kv.Get("key")
		require.Equal(t, kvdb.ErrNotFound, err)
		_, err = kv.Create("key", "value", 60)
		require.NoError(t, err)
		lock, err := kv.LockWithTimeout("lock", "me", 0, 0)
		require.NoError(t, err)
		taken, _, err := client.KV().Get("delay/lock", nil)
		require.NoError(t, err)
		_, err = client.Session().Destroy(taken.Session, nil)
		require.NoError(t, err)
		receive(t, lock.Lock.(kvdb.HeldLock).Lost(), "the loss of the lock")
		lock, err = kv.LockWithTimeout("lock", "me", time.Second, 0)
		require.NoError(t, err)
		require.NoError(t, kv.Unlock(lock))
	}
}
