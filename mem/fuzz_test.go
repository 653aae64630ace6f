package mem_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// reference is a model of a store: it maps keys to values, and each read visits every key.
type reference map[string]string

func (r reference) keys(match func(key string) bool) []string {
	keys := []string{}
	for _, key := range slices.Sorted(maps.Keys(r)) {
		if match(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (r reference) enumerate(prefix string) []string {
	return r.keys(func(key string) bool {
		components := strings.Split(key, "/")
		return strings.HasPrefix(key, prefix) && !strings.HasPrefix(components[len(components)-1], "_")
	})
}

func directory(dir, sep string) string {
	if dir == "" || strings.HasSuffix(dir, sep) {
		return dir
	}
	return dir + sep
}

func (r reference) names(dir, sep string) []string {
	dir = directory(dir, sep)
	names := map[string]bool{}
	for key := range r {
		rest, below := strings.CutPrefix(key, dir)
		if !below || rest == "" {
			continue
		}
		end := len(rest)
		for i := 1; i+len(sep) <= len(rest); i++ {
			if rest[i:i+len(sep)] == sep {
				end = i
				break
			}
		}
		names[rest[:end]] = true
	}
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(names))))
}

func (r reference) deleteTree(dir string) {
	maps.DeleteFunc(r, func(key, _ string) bool { return strings.HasPrefix(key, directory(dir, "/")) })
}

func keysOf(t *testing.T, pairs kvdb.KVPairs, want reference) []string {
	t.Helper()
	keys := []string{}
	for _, pair := range pairs {
		require.Equal(t, want[pair.Key], string(pair.Value))
		keys = append(keys, pair.Key)
	}
	return keys
}

// Any domain, key, prefix and separator has its documented meaning, and none causes a
// panic.
func FuzzKeys(f *testing.F) {
	f.Add("domain", "a", "a/b", "a/_b", "ab", "a", "/", false)
	f.Add("", "/", "//", "_", "a//b/", "", "", true)
	f.Add("d/", "_b//x", "_b///", "_b/", "_b", "_b/", "//", true)
	f.Add("\xff", "k\xff", "", "é", "a\x00b", "a\x00", "\x00", false)
	f.Add("d//", "\U0010ffff", "\U0010ffff\U0010ffff", ".", "..", "\xf4", "\xbf", true)
	f.Fuzz(func(t *testing.T, domain, a, b, c, d, prefix, sep string, objects bool) {
		options := modes["bytes"]
		if objects {
			options = modes["objects"]
		}
		kv, err := mem.New(domain, nil, options, nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, kvdb.Close(kv)) }()
		want := reference{}
		for _, key := range []string{a, b, c, d} {
			pair, err := kv.Put(key, "value of "+key, 0)
			if key == "" {
				require.ErrorIs(t, err, kvdb.ErrIllegal)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, key, pair.Key)
			want[key] = "value of " + key
		}
		requireAgree(t, kv, want, prefix, sep)
		requireWatched(t, kv, domain, want)

		require.NoError(t, kv.DeleteTree(prefix))
		want.deleteTree(prefix)
		requireAgree(t, kv, want, "", sep)
	})
}

// requireAgree compares the results of all reads.
func requireAgree(t *testing.T, kv kvdb.Kvdb, want reference, prefix, sep string) {
	t.Helper()
	for key, value := range want {
		pair, err := kv.Get(key)
		require.NoError(t, err)
		require.Equal(t, key, pair.Key)
		require.Equal(t, value, string(pair.Value))
	}
	pairs, err := kv.Enumerate(prefix)
	require.NoError(t, err)
	require.Equal(t, want.enumerate(prefix), keysOf(t, pairs, want))

	paged := kvdb.KVPairs{}
	for pair, err := range kv.(kvdb.Pager).EnumeratePages(prefix, 1) {
		require.NoError(t, err)
		paged = append(paged, pair)
	}
	require.Equal(t, pairs, paged)

	names, err := kv.Keys(prefix, sep)
	require.NoError(t, err)
	if sep == "" {
		sep = "/"
	}
	require.Equal(t, want.names(prefix, sep), names)

	snapshot, _, err := kv.Snapshot([]string{prefix, prefix + "a"}, true)
	require.NoError(t, err)
	pairs, err = snapshot.Enumerate("")
	require.NoError(t, err)
	require.Equal(t, want.enumerate(prefix), keysOf(t, pairs, want))

	encoded, err := kv.Serialize()
	require.NoError(t, err)
	pairs, err = kv.Deserialize(encoded)
	require.NoError(t, err)
	require.Equal(t, want.keys(func(string) bool { return true }), keysOf(t, pairs, want))
}

// requireWatched compares the history with the keys that were written, each at least once.
func requireWatched(t *testing.T, kv kvdb.Kvdb, domain string, want reference) {
	t.Helper()
	if domain != "" && !strings.HasSuffix(domain, "/") {
		domain += "/"
	}
	type event struct{ name, key, value string }
	events := make(chan event, 4) // as many as there were writes
	require.NoError(t, kv.WatchTree("", 0, nil, func(name string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil {
			events <- event{name, pair.Key, string(pair.Value)}
		}
		return err
	}))
	for left := maps.Clone(want); len(left) > 0; {
		e := <-events
		require.Equal(t, event{domain + e.key, e.key, want[e.key]}, e)
		delete(left, e.key)
	}
}
