package consul

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// serializedTTLs returns the TTLs of the pairs that Serialize and a consistent snapshot return,
// which are the same.
func serializedTTLs(t *testing.T, kv kvdb.Kvdb) map[string]int64 {
	t.Helper()
	ttls := func(kv kvdb.Kvdb) map[string]int64 {
		serialized, err := kv.Serialize()
		require.NoError(t, err)
		pairs, err := kv.Deserialize(serialized)
		require.NoError(t, err)
		ttls := map[string]int64{}
		for _, pair := range pairs {
			ttls[pair.Key] = pair.TTL
		}
		return ttls
	}
	snapshot, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	all := ttls(kv)
	require.Equal(t, all, ttls(snapshot))
	return all
}

// The TTL is what a write gave, or twice that of a session of an earlier release, which needs
// that its behaviour is to delete.
func TestTTLOfSessions(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "ttl", cluster.Endpoints(), nil)
	for key, ttl := range map[string]uint64{"none": 0, "least": 20, "odd": 1001, "most": 172800} {
		_, err := kv.Put(key, "value", ttl)
		require.NoError(t, err)
	}
	(&earlier{t, client, "ttl"}).putTTL("earlier", "value")
	released := &api.KVPair{Key: "ttl/released", Value: []byte("value"), Session: newSession(t, client, api.SessionBehaviorRelease)}
	taken, _, err := client.KV().Acquire(released, nil)
	require.NoError(t, err)
	require.True(t, taken)
	_, err = kv.Lock("lock")
	require.NoError(t, err)

	want := map[string]int64{"none": 0, "least": 20, "odd": 1001, "most": 172800, "earlier": 120, "released": 0}
	for key, seconds := range want {
		remaining, has, err := kvdb.TTLOf(kv, key)
		require.NoError(t, err, key)
		require.Equal(t, seconds > 0, has, key)
		require.InDelta(t, seconds, remaining.Seconds(), 0.5, key)
	}
	require.Equal(t, want, serializedTTLs(t, kv))
	_, _, err = kvdb.TTLOf(kv, "lock")
	require.Equal(t, kvdb.ErrNotFound, err)
}

// A session may end between the read of its key and the request about it. TTLOf then returns the
// state after that, and a list, which shows the state before, the longest TTL.
func TestSessionEndsWhileItIsAskedFor(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv, other := open(t, "ttl", []string{o.URL}, nil), open(t, "ttl", cluster.Endpoints(), nil)
	during := func(change, read func() error) {
		t.Helper()
		_, err := kv.Put("key", "value", 100)
		require.NoError(t, err)
		changed := false
		o.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			asks := r.URL.Path == "/v1/session/list" || strings.HasPrefix(r.URL.Path, "/v1/session/info/")
			if asks && !changed {
				changed = true
				if err := change(); err != nil {
					t.Error(err)
				}
				for len(sessionsOf(t, cluster, "kvdb TTL")) > 0 { // they end in the background
				}
			}
			return false
		})
		require.NoError(t, read())
		require.True(t, changed)
		o.intercept(nil)
	}
	overwrite := func() error { _, err := other.Put("key", "later", 0); return err }
	during(overwrite, func() error {
		_, has, err := kvdb.TTLOf(kv, "key")
		require.False(t, has)
		return err
	})
	during(func() error { _, err := other.Delete("key"); return err }, func() error {
		_, _, err := kvdb.TTLOf(kv, "key")
		require.Equal(t, kvdb.ErrNotFound, err)
		return nil
	})
	during(overwrite, func() error {
		for pair, err := range kvdb.PairsWith(kv, "", kvdb.PageOptions{TTL: true}) {
			require.NoError(t, err)
			require.Equal(t, "value", string(pair.Value))
			require.Equal(t, int64(maxTTL/time.Second), pair.TTL)
		}
		return nil
	})
}

// sessionsOf returns the sessions whose names have a prefix.
func sessionsOf(t *testing.T, cluster *servers.Cluster, prefix string) (names []string) {
	for _, name := range sessions(t, raw(t, cluster.All()[0])) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// A token that may not read sessions gets the longest TTL for keys that expire.
func TestTTLByReader(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{ACL: true})
	client, management := raw(t, cluster.All()[0]), &api.WriteOptions{Token: cluster.Token}
	admin := open(t, "reader", cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: cluster.Token})
	_, err := admin.Put("expires", "value", 60)
	require.NoError(t, err)
	_, err = admin.Put("stays", "value", 0)
	require.NoError(t, err)
	for rules, want := range map[string]time.Duration{
		`key_prefix "" { policy = "read" }`:                                       maxTTL,
		`key_prefix "" { policy = "read" } session_prefix "" { policy = "read" }`: time.Minute,
	} {
		policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: "reader-" + want.String(), Rules: rules}, management)
		require.NoError(t, err)
		token, _, err := client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: policy.ID}}}, management)
		require.NoError(t, err)
		reader := open(t, "reader", cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: token.SecretID})
		remaining, has, err := kvdb.TTLOf(reader, "expires")
		require.NoError(t, err)
		require.True(t, has)
		require.InDelta(t, want.Seconds(), remaining.Seconds(), 0.5)
		_, has, err = kvdb.TTLOf(reader, "stays")
		require.NoError(t, err)
		require.False(t, has)
		require.Equal(t, map[string]int64{"stays": 0, "expires": int64(want / time.Second)}, serializedTTLs(t, reader))
	}
}

// The TTLs of a list take one request, and none if no pair expires.
func TestRequestsForTTLs(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "requests", []string{o.URL}, nil)
	for key, ttl := range map[string]uint64{"a": 0, "b/1": 60, "b/2": 60, "c": 0} {
		_, err := kv.Put(key, "value", ttl)
		require.NoError(t, err)
	}
	ttlOf := func(key string) func() error {
		return func() error { _, _, err := kvdb.TTLOf(kv, key); return err }
	}
	pairs := func(prefix string, options kvdb.PageOptions) func() error {
		return func() error {
			for _, err := range kvdb.PairsWith(kv, prefix, options) {
				if err != nil {
					return err
				}
			}
			return nil
		}
	}
	snapshot := func(consistent bool, prefixes ...string) func() error {
		return func() error { _, _, err := kv.Snapshot(prefixes, consistent); return err }
	}
	const read, list, info = "GET /v1/kv/requests/", "GET /v1/session/list", "GET /v1/session/info/"
	for name, c := range map[string]struct {
		call func() error
		want []string
	}{
		"TTLOf":                 {ttlOf("b/1"), []string{read + "b/1", info}},
		"TTLOf without a TTL":   {ttlOf("a"), []string{read + "a"}},
		"Enumerate":             {func() error { _, err := kv.Enumerate(""); return err }, []string{read}},
		"Serialize":             {func() error { _, err := kv.Serialize(); return err }, []string{read, list}},
		"PairsWith TTLs":        {pairs("", kvdb.PageOptions{TTL: true, Size: 1}), []string{read, list}},
		"PairsWith no TTL":      {pairs("c", kvdb.PageOptions{TTL: true}), []string{read + "c"}},
		"PairsWith":             {pairs("", kvdb.PageOptions{Hidden: true, KeysOnly: true}), []string{read}},
		"Snapshot":              {snapshot(true), []string{txn, list}},
		"Snapshot without TTLs": {snapshot(true, "a", "c"), []string{txn}},
		"Snapshot of three":     {snapshot(false, "a", "b", "c"), []string{read + "a", read + "b", read + "c", list}},
	} {
		o.take()
		require.NoError(t, c.call(), name)
		made := o.take()
		for i, request := range made {
			if strings.HasPrefix(request, info) {
				made[i] = info
			}
		}
		require.Equal(t, c.want, made, name)
	}
}
