package consul

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// A write that may have run is not sent again; a read is.
func TestNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	direct := cluster.Endpoints()[0]
	for name, fail := range map[string]func(w http.ResponseWriter, r *http.Request){
		"severed": func(w http.ResponseWriter, _ *http.Request) { sever(w) },
		"500": func(w http.ResponseWriter, r *http.Request) {
			answer(w, r, http.StatusInternalServerError, "raft apply failed: leadership lost while committing log")
		},
		"503": func(w http.ResponseWriter, r *http.Request) {
			answer(w, r, http.StatusServiceUnavailable, "upstream connect error or disconnect/reset before headers")
		},
		"502": func(w http.ResponseWriter, r *http.Request) { answer(w, r, http.StatusBadGateway, "") },
	} {
		for call, f := range map[string]func(kv kvdb.Kvdb) error{
			"Put":        func(kv kvdb.Kvdb) error { _, err := kv.Put("key", name, 0); return err },
			"Create":     func(kv kvdb.Kvdb) error { _, err := kv.Create("new-"+name, name, 0); return err },
			"Delete":     func(kv kvdb.Kvdb) error { _, err := kv.Delete("key"); return err },
			"DeleteTree": func(kv kvdb.Kvdb) error { return kv.DeleteTree("dir") },
			"Tx": func(kv kvdb.Kvdb) error {
				tx, err := kv.TxNew()
				require.NoError(t, err)
				_, err = tx.Get("key")
				require.NoError(t, err)
				_, err = tx.Put("key", name, 0)
				require.NoError(t, err)
				return tx.Commit()
			},
		} {
			kv := open(t, "once", []string{o.URL, direct}, nil)
			_, err := kv.Put("key", "value", 0)
			require.NoError(t, err)
			var writes atomic.Int32
			o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/v1/txn" {
					return false
				}
				if call == "Tx" && writes.Load() == 0 { // it reads the keys first
					writes.Add(1)
					return false
				}
				writes.Add(1)
				// The request runs, and its answer is lost.
				o.proxy.ServeHTTP(discard{http.Header{}}, r)
				fail(w, r)
				return true
			})
			err = f(kv)
			require.ErrorIs(t, err, kvdb.ErrUnknownOutcome, "%s, %s", call, name)
			o.intercept(nil)
			_, err = kv.Get("other")
			require.Equal(t, kvdb.ErrNotFound, err)
		}
		// The session of a value with a TTL shows whether it was written.
		kv := open(t, "once", []string{o.URL, direct}, nil)
		o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/txn" {
				return false
			}
			o.intercept(nil)
			o.proxy.ServeHTTP(discard{http.Header{}}, r)
			fail(w, r)
			return true
		})
		pair, err := kv.Put("ttl-"+name, name, 60)
		require.NoError(t, err)
		now, err := kv.Get("ttl-" + name)
		require.NoError(t, err)
		require.Equal(t, pair.ModifiedIndex, now.ModifiedIndex)
		// A read may be sent again.
		o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			fail(w, r)
			return true
		})
		kv = open(t, "once", []string{direct, o.URL}, nil)
		require.NoError(t, kv.SetEndpoints([]string{o.URL, direct}))
		_, err = kv.Get("ttl-" + name)
		require.NoError(t, err)
		o.intercept(nil)
	}
}

// Unlock ends the watch of the lock, but the instance keeps using the endpoint.
func TestUnlockKeepsEndpoint(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o, other := observe(t, cluster.Endpoints()[0]), observe(t, cluster.Endpoints()[0])
	kv := open(t, "endpoints", []string{o.URL, other.URL}, nil)
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	watched := func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.blocking > 0
	}
	eventually(t, "the lock is not watched", watched)
	require.NoError(t, kv.Unlock(lock))
	eventually(t, "the lock is still watched", func() bool { return !watched() })
	for range 10 { // the client may learn a little later that its query has ended
		_, err = kv.Put("key", "value", 0)
		require.NoError(t, err)
	}
	require.Empty(t, other.take())
}

// After SetEndpoints, watches continue at the new endpoints.
func TestSetEndpoints(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{Members: 3})
	all := cluster.Endpoints()
	kv := open(t, "endpoints", all[:1], nil)
	stream := events(t, kv, "dir/", 0)
	require.NoError(t, kv.SetEndpoints(all[1:]))
	require.Equal(t, all[1:], kv.GetEndpoints())
	require.Error(t, kv.SetEndpoints([]string{"ftp://x"}))
	require.Equal(t, all[1:], kv.GetEndpoints())
	require.NoError(t, cluster.All()[0].Clients().Blackhole())
	began := time.Now()
	_, err := kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	require.Equal(t, "dir/key", receive(t, stream, "an event").Key)
	require.Less(t, time.Since(began), driver.CallTimeout*3/4)
}
