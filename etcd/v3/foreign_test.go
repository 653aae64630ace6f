package etcdv3

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// All keys of other programs below the domain are listed, watched and serialized as
// they are. They can be read, changed and deleted by the key that a list or a watch
// returned.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	lease, err := client.Grant(t.Context(), 3600)
	require.NoError(t, err)
	values := map[string]string{
		"plain": "value", "/": "a slash", "//": "slashes", "/x": "begins with a slash", "x//y": "an empty component",
		"dir/": "an empty last component", "dir//": "two", ".": "a dot", "..": "dots", "a/../b": "a way up",
		"not\xff\xfeUTF-8": "bytes", "\xff": "a byte", "\x80/\x81": "bytes in two components",
		"nul\x00": "a NUL", "line\nbreak": "a line break", " ": "a space", "ключ": "letters",
		"empty": "", "binary": "\x00\xff\xfe", "a lock elsewhere": `{"LockerID":"me"}`, "d/no lock": "value", "d/no lease": `{"LockerID":"me"}`,
		"with a lease": "value", "d/with a lease": "value",
	}
	leased := []string{"with a lease", "d/with a lease"}
	start, err := kv.Put("start", "", 0)
	require.NoError(t, err)
	watched, live := map[string]string{}, events(t, kv, "", 0)
	write := func(key, value string) {
		var options []clientv3.OpOption
		if slices.Contains(leased, key) {
			options = append(options, clientv3.WithLease(lease.ID))
		}
		_, err := client.Put(t.Context(), "d/"+key, value, options...)
		require.NoError(t, err)
	}
	write("", "the domain itself, which is no key below it")
	for key, value := range values {
		write(key, value)
	}
	// An election and a mutex of etcd's own client are keys with leases.
	session, err := concurrency.NewSession(client, concurrency.WithTTL(60))
	require.NoError(t, err)
	defer session.Close()
	mutex := concurrency.NewMutex(session, "d/mutex")
	require.NoError(t, mutex.Lock(t.Context()))
	values[mutex.Key()[len("d/"):]] = ""

	past := events(t, kv, "", start.ModifiedIndex)
	for _, stream := range []<-chan *kvdb.KVPair{live, past} {
		clear(watched)
		for len(watched) < len(values) {
			event := receive(t, stream, "an event")
			require.NotNil(t, event)
			watched[event.Key] = string(event.Value)
		}
		require.Equal(t, values, watched)
	}
	values["start"] = ""

	contentOf := func(pairs kvdb.KVPairs) map[string]string {
		content := map[string]string{}
		for _, pair := range pairs {
			content[pair.Key] = string(pair.Value)
		}
		require.Len(t, content, len(pairs))
		return content
	}
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Equal(t, values, contentOf(pairs))
	var paged kvdb.KVPairs
	for pair, err := range kv.(kvdb.Pager).EnumeratePages("", 2) {
		require.NoError(t, err)
		paged = append(paged, pair)
	}
	require.Equal(t, values, contentOf(paged))
	encoded, err := kv.Serialize()
	require.NoError(t, err)
	decoded, err := kv.Deserialize(encoded)
	require.NoError(t, err)
	for i, pair := range decoded {
		hasLease := slices.Contains(leased, pair.Key) || pair.Key == mutex.Key()[len("d/"):]
		require.Equal(t, hasLease, pair.TTL > 0, "the TTL of %q is that of its lease", pair.Key)
		pair.TTL = pairs[i].TTL
	}
	require.Equal(t, pairs, withoutIndex(decoded, pairs))
	for _, consistent := range []bool{false, true} {
		snapshot, _, err := kv.Snapshot(nil, consistent)
		require.NoError(t, err)
		copied, err := snapshot.Enumerate("")
		require.NoError(t, err)
		require.Equal(t, values, contentOf(copied))
		for key, value := range values {
			pair, err := snapshot.Get(key)
			require.NoError(t, err, "%q", key)
			require.Equal(t, value, string(pair.Value), "%q", key)
		}
	}
	names, err := kv.Keys("", "")
	require.NoError(t, err)
	require.NotContains(t, names, "")
	require.Contains(t, names, "not\xff\xfeUTF-8")

	for _, pair := range pairs {
		got, err := kv.Get(pair.Key)
		require.NoError(t, err, "%q", pair.Key)
		require.Equal(t, pair.Value, got.Value, "%q", pair.Key)
		require.Equal(t, pair.ModifiedIndex, got.ModifiedIndex, "%q", pair.Key)
		stream := make(chan *kvdb.KVPair, 10)
		require.NoError(t, kv.WatchKey(pair.Key, 0, nil, func(_ string, _ interface{}, event *kvdb.KVPair, err error) error {
			stream <- event
			return err
		}))
		_, err = kv.CompareAndSet(&kvdb.KVPair{Key: pair.Key, Value: []byte("new"), ModifiedIndex: pair.ModifiedIndex}, kvdb.KVModifiedIndex, nil)
		require.NoError(t, err, "%q", pair.Key)
		event := receive(t, stream, "the event")
		require.Equal(t, pair.Key, event.Key)
		require.Equal(t, "new", string(event.Value))
		_, err = kv.Delete(pair.Key)
		require.NoError(t, err, "%q", pair.Key)
		require.Equal(t, kvdb.KVDelete, receive(t, stream, "the event").Action)
	}
	pairs, err = kv.Enumerate("")
	require.NoError(t, err)
	require.Empty(t, pairs)
	require.NoError(t, kv.DeleteTree(""))
	reply, err := client.Get(t.Context(), "d/", clientv3.WithPrefix())
	require.NoError(t, err)
	require.Empty(t, reply.Kvs, "DeleteTree leaves something")
}

// withoutIndex sets the KVDBIndex of pairs to that of others, with which they are
// compared.
func withoutIndex(pairs, others kvdb.KVPairs) kvdb.KVPairs {
	for i, pair := range pairs {
		pair.KVDBIndex = others[i].KVDBIndex
	}
	return pairs
}
