package consul

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/test/servers"
)

func TestCheckKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"a": "a", "/a": "a", "//a//b": "a/b", "a/": "a/", "a/.b": "a/.b", "a/b..": "a/b..", "a b/%2F?#": "a b/%2F?#", "日本": "日本",
	} {
		got, err := checkKey(key)
		require.NoError(t, err, key)
		require.Equal(t, want, got)
		again, err := checkKey(got)
		require.NoError(t, err, key)
		require.Equal(t, got, again, "a second call changes the key")
		require.Equal(t, key == want, takes(key), key)
		require.True(t, takes(got), key)
	}
	for _, key := range []string{"/", "//", ".", "..", "a/.", "a/..", "./a", "a/../b", "a\x00", "a\nb", "a\u00a0b", "a\u200bb", "a\xff", "a\ufffd"} {
		_, err := checkKey(key)
		require.Error(t, err, "%q", key)
		require.False(t, takes(key), "%q", key)
	}
	for prefix, want := range map[string]string{"": "", "/": "", "a/": "a/", "a/.": "a/.", "a/..": "a/..", "a//": "a/"} {
		got, err := checkPrefix(prefix)
		require.NoError(t, err, prefix)
		require.Equal(t, want, got)
	}
	_, err := checkPrefix("a/./b")
	require.Error(t, err)
}

// Prefixes that end in the middle of a component or in dots are string prefixes like all
// others.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	kv := open(t, "prefixes", cluster.Endpoints(), nil)
	for _, key := range []string{"d/.hidden", "d/..more", "d/.x/y", "d/plain", "d/?q", "d/%41", "d/A"} {
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err, key)
	}
	stream := events(t, kv, "d/.", 1)
	watched := []string{}
	for range 3 {
		watched = append(watched, receive(t, stream, "an event").Key)
	}
	require.ElementsMatch(t, []string{"d/.hidden", "d/..more", "d/.x/y"}, watched)
	for prefix, want := range map[string][]string{
		"d/.": {"d/..more", "d/.hidden", "d/.x/y"}, "d/..": {"d/..more"}, "d/?": {"d/?q"}, "d/%4": {"d/%41"}, "d/%": {"d/%41"},
	} {
		pairs, err := kv.Enumerate(prefix)
		require.NoError(t, err)
		keys := []string{}
		for _, pair := range pairs {
			keys = append(keys, pair.Key)
		}
		require.Equal(t, want, keys, prefix)
		for _, consistent := range []bool{true, false} {
			snapshot, _, err := kv.Snapshot([]string{prefix}, consistent)
			require.NoError(t, err)
			pairs, err := snapshot.Enumerate("")
			require.NoError(t, err)
			require.Len(t, pairs, len(want), prefix)
		}
	}
	names, err := kv.Keys("d/", "")
	require.NoError(t, err)
	require.Equal(t, []string{"%41", "..more", ".hidden", ".x", "?q", "A", "plain"}, names)
	names, err = kv.Keys("d/", ".") // the directory is "d/."
	require.NoError(t, err)
	require.Equal(t, []string{".more", "hidden", "x/y"}, names)
}

// Of the keys that other programs have written in the domain, lists, watches and snapshots
// return those that Get accepts, and leave out the others.
func TestKeysOfOtherPrograms(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "dom", cluster.Endpoints(), nil)
	stream := events(t, kv, "", 0)
	var ops api.TxnOps
	for _, key := range []string{
		"//lead", "/a//b", "/./x", "/a/..", "/bell\a", "/line\nend", "//", "/a///", "/nul\x00",
		"/", "/folder/", "/a/b", "/dots..", "/.config", "/plain",
	} {
		ops = append(ops, op(api.KVTxnOp{Verb: api.KVSet, Key: "dom" + key, Value: []byte("of " + key), Flags: 42}))
	}
	applied, _, _, err := client.Txn().Txn(ops, nil)
	require.NoError(t, err)
	require.True(t, applied)
	for key, flags := range map[string]uint64{"dom/\xff": 0, "dom/semaphore": api.SemaphoreFlagValue, "/dom/outside": 0} {
		path := &url.URL{Path: "/v1/kv/" + key, RawQuery: "flags=" + strconv.FormatUint(flags, 10)}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, cluster.All()[0].Direct()+path.RequestURI(), strings.NewReader("of "+key))
		require.NoError(t, err)
		reply, err := http.DefaultTransport.RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
	}
	http.DefaultClient.CloseIdleConnections()
	all, _, err := client.KV().Keys("dom/", "", nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(all), len(ops)+1)

	want := []string{".config", "a/b", "dots..", "folder/", "plain", "semaphore"}
	check := func(kv kvdb.Kvdb, err error) {
		t.Helper()
		require.NoError(t, err)
		pairs, err := kv.Enumerate("")
		require.NoError(t, err)
		keys := []string{}
		for _, pair := range pairs {
			keys = append(keys, pair.Key)
			got, err := kv.Get(pair.Key)
			require.NoError(t, err, pair.Key)
			require.Equal(t, pair.Value, got.Value)
			require.Equal(t, pair.ModifiedIndex, got.ModifiedIndex)
		}
		require.Equal(t, want, keys)
	}
	check(kv, nil)
	for _, consistent := range []bool{true, false} {
		snapshot, _, err := kv.Snapshot(nil, consistent)
		check(snapshot, err)
	}
	names, err := kv.Keys("", "")
	require.NoError(t, err)
	require.Equal(t, []string{".config", "a", "dots..", "folder", "plain", "semaphore"}, names)
	names, err = kv.Keys("a", "")
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, names)
	_, err = kv.Put("end", "value", 0)
	require.NoError(t, err)
	told := []string{}
	for event := receive(t, stream, "an event"); event.Key != "end"; event = receive(t, stream, "an event") {
		told = append(told, event.Key)
	}
	require.ElementsMatch(t, want, told)
	require.NoError(t, kv.DeleteTree(""))
	all, _, err = client.KV().Keys("dom/", "", nil)
	require.NoError(t, err)
	require.Empty(t, all)
}

// A snapshot of all that Consul has, and one of more prefixes than a transaction
// has operations.
func TestLargeSnapshots(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	kv := open(t, "", cluster.Endpoints(), nil)
	var prefixes []string
	for i := range 300 {
		key := "dir/" + strings.Repeat("x", i%150) + string(rune('a'+i/150)) + "/"
		_, err := kv.Put(key+"key", "value", 0)
		require.NoError(t, err)
		prefixes = append(prefixes, key)
	}
	for _, key := range []string{"ä", "日本/key", "zz", "!"} {
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
	}
	snapshot, index, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	pairs, err := snapshot.Enumerate("")
	require.NoError(t, err)
	require.Len(t, pairs, 304)
	snapshot, later, err := kv.Snapshot(prefixes, true)
	require.NoError(t, err)
	require.Greater(t, later, index)
	pairs, err = snapshot.Enumerate("")
	require.NoError(t, err)
	require.Len(t, pairs, 300)
	keys, err := kv.Keys("", "")
	require.NoError(t, err)
	require.Len(t, keys, 5, "the marker is left")
}

// Prepare accepts and refuses what Commit does.
func TestPrepare(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	kv := open(t, "tx", cluster.Endpoints(), nil)
	fill := func(n, size int, ttl uint64) kvdb.Tx {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for i := range n {
			_, err := tx.Put(strings.Repeat("k", i+1), strings.Repeat("v", size), ttl)
			require.NoError(t, err)
		}
		return tx
	}
	for _, c := range []struct {
		n, size int
		ttl     uint64
		fits    bool
	}{
		{128, 1, 0, true}, {129, 1, 0, false}, {64, 1, 60, true}, {65, 1, 60, false},
		{2, 190_000, 0, true},
	} {
		tx := fill(c.n, c.size, c.ttl)
		prepared, committed := tx.Prepare(), tx.Commit()
		if c.fits {
			require.NoError(t, prepared, c)
			require.NoError(t, committed, c)
		} else {
			require.ErrorIs(t, prepared, kvdb.ErrTooLarge, c)
			require.ErrorIs(t, committed, kvdb.ErrTooLarge, c)
		}
		require.NoError(t, kv.DeleteTree(""))
	}
	// Only the server knows its limit in bytes.
	tx := fill(2, 197_000, 0)
	require.NoError(t, tx.Prepare())
	err := tx.Commit()
	require.ErrorIs(t, err, kvdb.ErrTooLarge)
	require.ErrorContains(t, err, "max size: 524288 bytes")
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Empty(t, pairs)
	require.Empty(t, ttlSessions(sessions(t, raw(t, cluster.All()[0])), 64))
}

// A write to an existing key takes more operations, as docs/stores/consul.md says.
func TestTxOverTheSame(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	kv := open(t, "tx", cluster.Endpoints(), nil)
	commit := func(n int, ttl uint64) error {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for i := range n {
			_, err := tx.Put(fmt.Sprint(i), "value", ttl)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Prepare())
		return tx.Commit()
	}
	for _, c := range []struct {
		fit int
		ttl uint64
	}{{conn.MaxOps / 2, 0}, {conn.MaxOps / 3, 60}} {
		for range 2 {
			require.NoError(t, commit(c.fit, c.ttl))
		}
		before, err := kv.Enumerate("")
		require.NoError(t, err)
		require.NoError(t, commit(c.fit, c.ttl))
		after, err := kv.Enumerate("")
		require.NoError(t, err)
		for i := range after {
			require.Greater(t, after[i].ModifiedIndex, before[i].ModifiedIndex)
			require.Equal(t, before[i].CreatedIndex, after[i].CreatedIndex)
		}
		_, err = kv.Put(fmt.Sprint(c.fit), "value", c.ttl)
		require.NoError(t, err)
		require.ErrorIs(t, commit(c.fit+1, c.ttl), kvdb.ErrTooLarge)
		require.NoError(t, kv.DeleteTree(""))
	}
}

// ttlSessions returns the sessions of values with a TTL among names, without the first n.
func ttlSessions(names []string, n int) []string {
	var of []string
	for _, name := range names {
		if strings.HasPrefix(name, "kvdb TTL") {
			of = append(of, name)
		}
	}
	return of[min(n, len(of)):]
}
