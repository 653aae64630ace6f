package etcdv2

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Keys of other programs in the domain disturb no list, watch or snapshot, and the keys that
// those return can be read.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{})
	keys, kv := raw(t, cluster), instance(t, cluster, "foreign", nil, nil)
	odd := []string{
		"a b", "a%2Fb", "100%", "q?x=1&y=2", "h#sh", "se;mi", "back\\slash", "new\nline", "tab\t", "quote\"'", "<html>", "ü/ö",
		"...", "..a", "a:b@c", "+", "~", "dir/with/many/levels", "\x7f", "\u2028",
	}
	events := watch(t, kv, "", 0)
	for _, key := range odd {
		_, err := keys.Set(t.Context(), "/foreign/"+key, "of "+key, nil)
		require.NoError(t, err, key)
	}
	_, err := keys.Set(t.Context(), "/foreign/empty/directory", "", &client.SetOptions{Dir: true})
	require.NoError(t, err)
	_, err = keys.Set(t.Context(), "/foreign/_hidden/key", "hidden", nil)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, cluster.Endpoints()[0]+"/v2/keys/foreign/not%ffUTF-8",
		strings.NewReader(url.Values{"value": {"lost"}}.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	reply, err := transport.RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	require.Equal(t, http.StatusCreated, reply.StatusCode)
	last, err := kv.Put("last", "of last", 0)
	require.NoError(t, err)
	odd = append(odd, "last")

	snapshot, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	for _, from := range []kvdb.Kvdb{kv, snapshot} {
		pairs, err := from.Enumerate("")
		require.NoError(t, err)
		var listed []string
		for _, pair := range pairs {
			listed = append(listed, pair.Key)
			read, err := kv.Get(pair.Key)
			require.NoError(t, err, pair.Key)
			require.Equal(t, "of "+pair.Key, string(read.Value))
			require.Equal(t, read.Value, pair.Value)
		}
		require.ElementsMatch(t, odd, listed)
	}
	for _, key := range odd {
		e := receive(t, events)
		require.NoError(t, e.err)
		require.Contains(t, e.what, " "+key+" at ")
	}
	for _, key := range odd {
		pair, err := kv.Update(key, "ours", 0)
		require.NoError(t, err, key)
		require.Greater(t, pair.ModifiedIndex, last.ModifiedIndex)
		_, err = kv.Delete(key)
		require.NoError(t, err, key)
	}
	for _, key := range []string{"not\xffUTF-8", "not\uFFFDUTF-8"} {
		_, err := kv.Put(key, "value", 0)
		require.ErrorIs(t, err, kvdb.ErrIllegal)
	}
	_, err = kv.Enumerate("a\xc3") // a prefix may end inside a character
	require.NoError(t, err)
}

// A watch reports each key in a directory that expires.
func TestForeignDirectories(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{})
	keys, kv := raw(t, cluster), instance(t, cluster, "foreign", nil, nil)
	_, err := keys.Set(t.Context(), "/foreign/dir", "", &client.SetOptions{Dir: true, TTL: 3 * time.Second})
	require.NoError(t, err)
	for _, key := range []string{"dir/a", "dir/b/c"} {
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
	}
	_, err = kv.Put("dir", "value", 0)
	require.ErrorIs(t, err, kvdb.ErrIllegal, "the directory has keys")
	_, err = kv.Get("dir")
	require.True(t, err == kvdb.ErrNotFound)
	_, err = kv.Delete("dir")
	require.True(t, err == kvdb.ErrNotFound)
	all, one := watch(t, kv, "", 0), make(chan *kvdb.KVPair, 1)
	require.NoError(t, kv.WatchKey("dir/a", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, _ error) error {
		if pair != nil {
			one <- pair
		}
		return nil
	}))
	expired := receive(t, one)
	require.Equal(t, kvdb.KVExpire, expired.Action)
	require.Equal(t, event(kvdb.KVExpire, "dir/a", expired.ModifiedIndex), receive(t, all))
	require.Equal(t, event(kvdb.KVExpire, "dir/b/c", expired.ModifiedIndex), receive(t, all))
	_, err = kv.Put("dir", "value", 0)
	require.NoError(t, err, "the directory is gone")

	// A directory without keys can be replaced by a key.
	_, err = keys.Set(t.Context(), "/foreign/empty/of/keys", "", &client.SetOptions{Dir: true})
	require.NoError(t, err)
	_, err = kv.Put("empty", "value", 0)
	require.NoError(t, err)
}
