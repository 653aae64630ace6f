package consul

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A call whose deadline is shorter than the server needs returns the error of its context,
// and the instance keeps using that server.
func TestCallersDeadline(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	slow, other := observe(t, cluster.Endpoints()[0]), observe(t, cluster.Endpoints()[0])
	kv := open(t, "deadline", []string{slow.URL, other.URL}, nil)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	held, err := kv.Lock("held")
	require.NoError(t, err)
	other.take()
	slow.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // otherwise the server does not notice the end of the request
		<-r.Context().Done()
		return true
	})
	reason := errors.New("the caller's reason")
	for name, call := range map[string]func(kv kvdb.Kvdb) error{
		"Get":          func(kv kvdb.Kvdb) error { _, err := kv.Get("key"); return err },
		"Enumerate":    func(kv kvdb.Kvdb) error { _, err := kv.Enumerate(""); return err },
		"Keys":         func(kv kvdb.Kvdb) error { _, err := kv.Keys("", ""); return err },
		"Put":          func(kv kvdb.Kvdb) error { _, err := kv.Put("key", "value", 0); return err },
		"Put, large":   func(kv kvdb.Kvdb) error { _, err := kv.Put("key", large(""), 0); return err },
		"Put with TTL": func(kv kvdb.Kvdb) error { _, err := kv.Put("key", "value", 60); return err },
		"CompareAndSet": func(kv kvdb.Kvdb) error {
			_, err := kv.CompareAndSet(&kvdb.KVPair{Key: "key"}, 0, []byte("x"))
			return err
		},
		"Delete":      func(kv kvdb.Kvdb) error { _, err := kv.Delete("key"); return err },
		"DeleteTree":  func(kv kvdb.Kvdb) error { return kv.DeleteTree("dir") },
		"Snapshot":    func(kv kvdb.Kvdb) error { _, _, err := kv.Snapshot(nil, true); return err },
		"IsKeyLocked": func(kv kvdb.Kvdb) error { _, _, err := kv.IsKeyLocked("held"); return err },
		"Lock":        func(kv kvdb.Kvdb) error { _, err := kv.Lock("free"); return err },
		"Lock, held":  func(kv kvdb.Kvdb) error { _, err := kv.Lock("held"); return err },
		"WatchTree": func(kv kvdb.Kvdb) error {
			return kv.WatchTree("", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error { return nil })
		},
		"Tx": func(kv kvdb.Kvdb) error {
			tx, err := kv.TxNew()
			if err == nil {
				_, err = tx.Put("key", "value", 0)
			}
			return errors.Join(err, tx.Commit())
		},
	} {
		for _, want := range []error{context.DeadlineExceeded, reason} {
			ctx, end := context.WithCancelCause(t.Context())
			cancel := func() { end(nil) }
			if want == reason {
				timer := time.AfterFunc(100*time.Millisecond, func() { end(reason) })
				defer timer.Stop()
			} else {
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			}
			began := time.Now()
			err := call(kvdb.WithContext(ctx, kv))
			require.ErrorIs(t, err, want, name)
			require.NotErrorIs(t, err, kvdb.ErrNoConnection, name)
			require.Less(t, time.Since(began), 5*time.Second, name)
			cancel()
			end(nil)
		}
	}
	slow.intercept(nil)
	_, err = kv.Get("key")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(held))
	for _, request := range other.take() {
		require.Contains(t, request, "/v1/session/destroy/", "the instance has left a healthy server")
	}
}
