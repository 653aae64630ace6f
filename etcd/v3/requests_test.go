package etcdv3

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// attempts is a hook that counts attempts at requests.
type attempts struct{ atomic.Int32 }

func (a *attempts) OnRequest(context.Context, kvdb.Request) { a.Add(1) }

// The number of requests of each operation.
func TestRequests(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	requests := &counter{}
	kv := instance(t, cluster, "requests", nil, grpc.WithChainUnaryInterceptor(requests.intercept))
	seen := &attempts{}
	require.NoError(t, kvdb.AddHooks(kv, seen))
	put := func(key string, ttl uint64) *kvdb.KVPair {
		pair, err := kv.Put(key, "value", ttl)
		require.NoError(t, err)
		return pair
	}
	var pair *kvdb.KVPair
	one := func(method string) map[string]int { return map[string]int{method: 1} }
	for _, c := range []struct {
		name string
		call func() error
		want map[string]int
		err  error
	}{
		{"Put", func() error { put("key", 0); return nil }, one("Put"), nil},
		{"Put, large", func() error {
			_, err := kv.Put("large", strings.Repeat("x", 64<<10), 0)
			return err
		}, one("Txn"), nil},
		{"Put with a TTL", func() error { put("ttl", 60); return nil }, map[string]int{"Put": 1, "LeaseGrant": 1}, nil},
		{"Get", func() error { _, err := kv.Get("key"); return err }, one("Range"), nil},
		{"Get of nothing", func() error { _, err := kv.Get("none"); return err }, one("Range"), kvdb.ErrNotFound},
		{"Create", func() error { _, err := kv.Create("new", "value", 0); return err }, one("Txn"), nil},
		{"Create in vain", func() error { _, err := kv.Create("new", "value", 0); return err }, one("Txn"), kvdb.ErrExist},
		{"Update", func() error { var err error; pair, err = kv.Update("new", "value", 0); return err }, one("Txn"), nil},
		{"Update in vain", func() error { _, err := kv.Update("none", "value", 0); return err }, one("Txn"), kvdb.ErrNotFound},
		{"CompareAndSet", func() error {
			var err error
			pair, err = kv.CompareAndSet(pair, kvdb.KVModifiedIndex, []byte("value"))
			return err
		}, one("Txn"), nil},
		{"CompareAndSet in vain", func() error {
			_, err := kv.CompareAndSet(pair, kvdb.KVModifiedIndex, []byte("other"))
			return err
		}, one("Txn"), kvdb.ErrValueMismatch},
		{"CompareAndDelete", func() error { _, err := kv.CompareAndDelete(pair, kvdb.KVModifiedIndex); return err }, one("Txn"), nil},
		{"Delete", func() error { _, err := kv.Delete("key"); return err }, one("DeleteRange"), nil},
		{"Delete of nothing", func() error { _, err := kv.Delete("key"); return err }, one("DeleteRange"), kvdb.ErrNotFound},
		{"Enumerate", func() error { _, err := kv.Enumerate("large"); return err }, one("Range"), nil},
		{"Keys", func() error { _, err := kv.Keys("large", ""); return err }, one("Range"), nil},
		{"TTLOf", func() error { _, _, err := kvdb.TTLOf(kv, "ttl"); return err }, map[string]int{"Range": 1, "LeaseTimeToLive": 1}, nil},
		{"TTLOf without a TTL", func() error { _, _, err := kvdb.TTLOf(kv, "large"); return err }, one("Range"), nil},
		{"TTLOf of nothing", func() error { _, _, err := kvdb.TTLOf(kv, "none"); return err }, one("Range"), kvdb.ErrNotFound},
		{"Tx with a shared lease", func() error {
			tx, err := kv.TxNew()
			require.NoError(t, err)
			for _, key := range []string{"shared/a", "shared/b", "shared/c"} {
				_, err := tx.Put(key, "value", 60)
				require.NoError(t, err)
			}
			return tx.Commit()
		}, map[string]int{"LeaseGrant": 1, "Txn": 1}, nil},
		{"Enumerate with TTLs", func() error { _, err := kv.Enumerate(""); return err }, one("Range"), nil},
		{"Serialize with TTLs", func() error { _, err := kv.Serialize(); return err }, map[string]int{"Range": 1, "LeaseTimeToLive": 2}, nil},
		{"PairsWith", func() error {
			for _, err := range kvdb.PairsWith(kv, "shared/", kvdb.PageOptions{KeysOnly: true, Hidden: true, From: "shared/b"}) {
				require.NoError(t, err)
			}
			return nil
		}, one("Range"), nil},
		{"PairsWith the TTLs", func() error {
			for _, err := range kvdb.PairsWith(kv, "shared/", kvdb.PageOptions{TTL: true, Size: 2}) {
				require.NoError(t, err)
			}
			return nil
		}, map[string]int{"Range": 2, "LeaseTimeToLive": 2}, nil},
		{"Snapshot with TTLs", func() error { _, _, err := kv.Snapshot([]string{"shared/"}, false); return err },
			map[string]int{"Range": 1, "LeaseTimeToLive": 1}, nil},
		{"DeleteTree", func() error { return kv.DeleteTree("large") }, one("DeleteRange"), nil},
		{"DeleteTree of all", func() error { return kv.DeleteTree("") }, one("Txn"), nil},
		{"Snapshot", func() error { _, _, err := kv.Snapshot(nil, true); return err },
			map[string]int{"LeaseGrant": 1, "Put": 1, "LeaseRevoke": 1, "Range": 1}, nil},
		{"first Lock", func() error { var err error; pair, err = kv.Lock("lock"); return err },
			map[string]int{"LeaseGrant": 1, "Txn": 1}, nil},
		{"Unlock", func() error { return kv.Unlock(pair) }, one("Txn"), nil},
		{"Lock", func() error { var err error; pair, err = kv.Lock("lock"); return err }, one("Txn"), nil},
		{"IsKeyLocked", func() error { _, _, err := kv.IsKeyLocked("lock"); return err }, one("Range"), nil},
		{"Tx", func() error {
			tx, err := kv.TxNew()
			require.NoError(t, err)
			for _, key := range []string{"a", "b", "c"} {
				_, err := tx.Put(key, "value", 0)
				require.NoError(t, err)
			}
			require.NoError(t, kvdb.TxGuard(tx, pair))
			return tx.Commit()
		}, one("Txn"), nil},
	} {
		requests.take()
		seen.Store(0)
		require.Equal(t, c.err, c.call(), c.name)
		require.Equal(t, c.want, requests.take(), c.name)
		sum := 0
		for _, n := range c.want {
			sum += n
		}
		require.EqualValues(t, sum, seen.Load(), "%s: attempts that hooks have seen", c.name)
	}
}

// An operation allocates hardly more memory than the client library does for the
// same request without a time limit.
func TestAllocations(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "", nil)
	ctx, value := t.Context(), strings.Repeat("v", 127)
	for i := range 500 {
		_, err := kv.Create(fmt.Sprintf("many/%03d", i), value, 0)
		require.NoError(t, err)
	}
	for _, c := range []struct {
		name      string
		raw, ours func() error
	}{
		{"Put",
			func() error { _, err := client.Put(ctx, "key", value, clientv3.WithPrevKV()); return err },
			func() error { _, err := kv.Put("key", value, 0); return err }},
		{"Get",
			func() error { _, err := client.Get(ctx, "key"); return err },
			func() error { _, err := kv.Get("key"); return err }},
		{"Update",
			func() error {
				_, err := client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision("key"), ">", 0)).
					Then(clientv3.OpGet("key", clientv3.WithKeysOnly()), clientv3.OpPut("key", value)).
					Else(clientv3.OpGet("key")).Commit()
				return err
			},
			func() error { _, err := kv.Update("key", value, 0); return err }},
		{"Enumerate",
			func() error { _, err := client.Get(ctx, "many/", clientv3.WithPrefix()); return err },
			func() error { _, err := kv.Enumerate("many/"); return err }},
		{"Snapshot",
			func() error { _, err := client.Get(ctx, "many/", clientv3.WithPrefix()); return err },
			func() error { _, _, err := kv.Snapshot([]string{"many/"}, false); return err }},
	} {
		cost := func(call func() error) float64 {
			return testing.AllocsPerRun(200, func() { require.NoError(t, call()) })
		}
		reference, ours := cost(c.raw), cost(c.ours)
		t.Logf("%s: %v, raw %v", c.name, ours, reference)
		require.LessOrEqual(t, ours, 1.2*reference, c.name)
	}
}

// Large results are read in pages, all at one revision.
func TestPages(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	requests := &counter{}
	kv := instance(t, cluster, "pages", nil, grpc.WithChainUnaryInterceptor(requests.intercept))
	const keys, perTx = 5_000, 125
	for i := 0; i < keys; i += perTx {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for j := range perTx {
			_, err := tx.Put(pageKey(i+j), "value", 0)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
	}
	_, err := kv.Put("large/a", strings.Repeat("x", 1<<20), 0)
	require.NoError(t, err)
	requests.take()
	pairs, err := kv.Enumerate("page/")
	require.NoError(t, err)
	require.Len(t, pairs, keys)
	for i, pair := range pairs {
		require.Equal(t, pageKey(i), pair.Key)
		require.Equal(t, pairs[0].KVDBIndex, pair.KVDBIndex)
	}
	require.LessOrEqual(t, requests.take()["Range"], 3)

	// Another client overwrites later pages while earlier ones are read. The list
	// does not show that.
	n := 0
	for pair, err := range kvdb.Pairs(kv, "page/") {
		require.NoError(t, err)
		require.Equal(t, "value", string(pair.Value))
		if n == 0 {
			_, err := kv.Put(pageKey(keys-1), "later", 0)
			require.NoError(t, err)
		}
		n++
	}
	require.Equal(t, keys, n)
}

func pageKey(i int) string {
	digits := []byte("page/0000")
	for d := len(digits) - 1; i > 0; d-- {
		digits[d] = '0' + byte(i%10)
		i /= 10
	}
	return string(digits)
}
