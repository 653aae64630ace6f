package etcdv2

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// counter counts the requests that are sent.
type counter struct {
	base  http.RoundTripper
	count atomic.Int32
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.count.Add(1)
	return c.base.RoundTrip(r)
}

// attempts is a hook that counts attempts at requests.
type attempts struct{ atomic.Int32 }

func (a *attempts) OnRequest(context.Context, kvdb.Request) { a.Add(1) }

// The number of requests of each operation.
func TestRequests(t *testing.T) {
	cluster := servers.Etcd35(t, servers.Options{})
	requests := &counter{}
	kv, err := newInstance("requests", cluster.Endpoints(), nil, nil, func(base http.RoundTripper) http.RoundTripper {
		requests.base = base
		return requests
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	seen := &attempts{}
	require.NoError(t, kvdb.AddHooks(kv, seen))
	var pair *kvdb.KVPair
	long := []byte(strings.Repeat("x", maxPrevValue+1))
	for _, c := range []struct {
		name string
		want int32
		err  error
		call func() error
	}{
		{"Put of a new key", 2, nil, func() (err error) { pair, err = kv.Put("dir/key", "value", 0); return }},
		{"Put", 1, nil, func() (err error) { pair, err = kv.Put("dir/key", "value", 0); return }},
		{"Put with a TTL", 1, nil, func() error { _, err := kv.Put("dir/key", "value", 60); return err }},
		{"Get", 1, nil, func() (err error) { pair, err = kv.Get("dir/key"); return }},
		{"TTLOf", 1, nil, func() error { _, _, err := kvdb.TTLOf(kv, "dir/key"); return err }},
		{"Get of nothing", 1, kvdb.ErrNotFound, func() error { _, err := kv.Get("none"); return err }},
		{"Create", 1, nil, func() error { _, err := kv.Create("new", "value", 0); return err }},
		{"Create in vain", 2, kvdb.ErrExist, func() error { _, err := kv.Create("new", "value", 0); return err }},
		{"Update", 1, nil, func() (err error) { pair, err = kv.Update("new", "value", 0); return }},
		{"Update in vain", 1, kvdb.ErrNotFound, func() error { _, err := kv.Update("none", "value", 0); return err }},
		{"CompareAndSet, index", 1, nil, func() (err error) {
			pair, err = kv.CompareAndSet(pair, kvdb.KVModifiedIndex, nil)
			return
		}},
		{"CompareAndSet, index and value", 1, nil, func() (err error) {
			pair, err = kv.CompareAndSet(pair, kvdb.KVModifiedIndex, []byte("value"))
			return
		}},
		{"CompareAndSet, value in vain", 1, kvdb.ErrValueMismatch, func() error {
			_, err := kv.CompareAndSet(pair, 0, []byte("other"))
			return err
		}},
		{"CompareAndSet, index and value in vain", 2, kvdb.ErrValueMismatch, func() error {
			_, err := kv.CompareAndSet(pair, kvdb.KVModifiedIndex, []byte("other"))
			return err
		}},
		{"CompareAndSet, created index", 2, nil, func() (err error) {
			pair, err = kv.CompareAndSet(pair, kvdb.KVCreatedIndex, nil)
			return
		}},
		{"CompareAndSet, empty value in vain", 1, kvdb.ErrValueMismatch, func() error {
			_, err := kv.CompareAndSet(pair, 0, []byte{})
			return err
		}},
		{"CompareAndSet, long value in vain", 1, kvdb.ErrValueMismatch, func() error {
			_, err := kv.CompareAndSet(pair, 0, long)
			return err
		}},
		{"CompareAndDelete, index", 1, nil, func() error { _, err := kv.CompareAndDelete(pair, kvdb.KVModifiedIndex); return err }},
		{"Enumerate", 1, nil, func() error { _, err := kv.Enumerate("dir/"); return err }},
		{"PairsWith", 1, nil, func() error {
			for _, err := range kvdb.PairsWith(kv, "dir/", kvdb.PageOptions{TTL: true, Size: 1}) {
				require.NoError(t, err)
			}
			return nil
		}},
		{"Serialize", 1, nil, func() error { _, err := kv.Serialize(); return err }},
		{"Keys", 1, nil, func() error { _, err := kv.Keys("dir", ""); return err }},
		{"Delete", 1, nil, func() error { _, err := kv.Delete("dir/key"); return err }},
		{"Delete of nothing", 1, kvdb.ErrNotFound, func() error { _, err := kv.Delete("dir/key"); return err }},
		{"DeleteTree", 2, nil, func() error { return kv.DeleteTree("dir") }},
		{"DeleteTree of nothing", 1, nil, func() error { return kv.DeleteTree("dir") }},
		{"Snapshot", 1, nil, func() error { _, _, err := kv.Snapshot(nil, true); return err }},
		{"Lock", 1, nil, func() (err error) { pair, err = kv.Lock("lock"); return }},
		{"IsKeyLocked", 1, nil, func() error { _, _, err := kv.IsKeyLocked("lock"); return err }},
		{"Unlock", 1, nil, func() error { return kv.Unlock(pair) }},
		{"Put of a new key again", 2, nil, func() error { _, err := kv.Put("last", "value", 0); return err }},
		// The store's last event is that of a key in the snapshot, so a marker is
		// written and removed.
		{"Snapshot right after a write", 3, nil, func() error { _, _, err := kv.Snapshot(nil, true); return err }},
	} {
		requests.count.Store(0)
		seen.Store(0)
		require.Equal(t, c.err, c.call(), c.name)
		require.Equal(t, c.want, requests.count.Load(), c.name)
		require.Equal(t, c.want, seen.Load(), "%s: attempts that hooks have seen", c.name)
	}
}
