package backups

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/backup"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/transfer"
	"github.com/portworx/kvdb/zookeeper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kind is a kind of store.
type kind struct {
	backend string
	start   func(testing.TB, servers.Options) *servers.Cluster // nil for a store in process
	cluster *servers.Cluster
}

func start(t *testing.T, kinds ...*kind) []*kind {
	for _, k := range kinds {
		if k.start != nil {
			k.cluster = k.start(t, servers.Options{})
		}
	}
	return kinds
}

// open opens an empty domain.
func (k *kind) open(t *testing.T) kvdb.Kvdb {
	t.Helper()
	var endpoints []string
	options := map[string]string{}
	if k.cluster != nil {
		endpoints = k.cluster.Endpoints()
	} else if k.backend == bolt.Name {
		options[bolt.Path] = filepath.Join(t.TempDir(), "test.db")
	}
	kv, err := kvdb.New(k.backend, fmt.Sprintf("domain-%08x", rand.Uint32()), endpoints, options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// fill writes pairs of two pages, a binary value, a hidden key if the store lists those, and
// a pair that expires if the store has TTLs. It returns their number.
func fill(t *testing.T, kv kvdb.Kvdb) int {
	t.Helper()
	pairs := []*kvdb.KVPair{{Key: "binary", Value: []byte{0, 0xff, '\n', 0xfe}}, {Key: "ü/<&>\"\\", Value: []byte("odd")}}
	limits := kvdb.LimitsOf(kv)
	if !limits.HiddenUnlisted {
		pairs = append(pairs, &kvdb.KVPair{Key: "dir/_hidden", Value: []byte("hidden")})
	}
	if !limits.NoTTL {
		pairs = append(pairs, &kvdb.KVPair{Key: "expires", Value: []byte("x"), TTL: 10_000})
	}
	for i := range 1500 {
		pairs = append(pairs, &kvdb.KVPair{Key: fmt.Sprintf("dir/%04d", i), Value: []byte(fmt.Sprint("value ", i))})
	}
	written, err := kvdb.PutMany(t.Context(), kv, func(yield func(*kvdb.KVPair, error) bool) {
		for _, pair := range pairs {
			if !yield(pair, nil) {
				return
			}
		}
	}, kvdb.ManyOptions{})
	require.NoError(t, err)
	require.Equal(t, len(pairs), written.Pairs)
	return len(pairs)
}

// A backup of each store is restored to each store, with the same digest. Locks that are held
// are not in it. To restore it again changes nothing.
func TestBetweenAllStores(t *testing.T) {
	kinds := start(t,
		&kind{backend: mem.Name}, &kind{backend: bolt.Name}, &kind{backend: etcdv2.Name, start: servers.Etcd35},
		&kind{backend: etcdv3.Name, start: servers.Etcd}, &kind{backend: consul.Name, start: servers.Consul},
		&kind{backend: zookeeper.Name, start: servers.ZooKeeper})
	for _, from := range kinds {
		source := from.open(t)
		n := fill(t, source)
		lock, err := source.Lock("locked")
		require.NoError(t, err)
		var b bytes.Buffer
		info, err := backup.Write(t.Context(), &b, source, backup.Options{})
		require.NoError(t, err, from.backend)
		require.NoError(t, source.Unlock(lock))
		require.Equal(t, n, info.Pairs)
		require.Equal(t, from.backend, info.Backend)
		sum, err := transfer.Digest(t.Context(), source, "")
		require.NoError(t, err)
		require.Equal(t, sum.Digest, info.Digest)
		for _, to := range kinds {
			t.Run(from.backend+" to "+to.backend, func(t *testing.T) { restored(t, to.open(t), b.Bytes(), info) })
		}
	}
}

func restored(t *testing.T, target kvdb.Kvdb, file []byte, info backup.Info) {
	limits := kvdb.LimitsOf(target)
	o := backup.RestoreOptions{}
	if limits.NoTTL {
		o.TTL = backup.TTLDrop
	}
	restored, err := backup.Restore(t.Context(), target, bytes.NewReader(file), o)
	require.NoError(t, err)
	require.Equal(t, backup.Restored{Pairs: info.Pairs, Created: info.Pairs}, restored)
	o.OnlyMissing = true // a hidden key is written again without it, if the store does not list it
	restored, err = backup.Restore(t.Context(), target, bytes.NewReader(file), o)
	require.NoError(t, err)
	require.Equal(t, backup.Restored{Pairs: info.Pairs, Unchanged: info.Pairs}, restored)
	again, err := backup.Write(t.Context(), io.Discard, target, backup.Options{})
	require.NoError(t, err)
	hidden, err := target.Get("dir/_hidden")
	if limits.HiddenUnlisted && err == nil {
		require.Equal(t, "hidden", string(hidden.Value))
		require.Equal(t, info.Pairs-1, again.Pairs)
	} else {
		require.Equal(t, info.Digest, again.Digest)
	}
	if _, err := target.Get("expires"); err == nil && info.TTL == backup.TTLsRemaining {
		left, has, err := kvdb.TTLOf(target, "expires")
		if !limits.NoTTL {
			require.NoError(t, err)
			require.True(t, has)
			require.InDelta(t, 10_000, left.Seconds(), 600)
		}
	}
}

// On etcd v3 the pages of a backup are of one moment while others write. When that moment is
// compacted, the backup says so, or fails if one moment is asked for.
func TestCompaction(t *testing.T) {
	kv := start(t, &kind{backend: etcdv3.Name, start: servers.Etcd})[0].open(t)
	fill(t, kv)
	change := func(compact bool) func(backup.Progress) {
		return func(p backup.Progress) {
			if p.Phase != backup.PhaseWrite {
				return
			}
			pair, err := kv.Put("dir/new", fmt.Sprint(p.Pairs), 0)
			require.NoError(t, err)
			if compact {
				require.NoError(t, kv.Compact(pair.ModifiedIndex))
			}
		}
	}
	info, err := backup.Write(t.Context(), io.Discard, kv, backup.Options{OneMoment: true, Progress: change(false)})
	require.NoError(t, err)
	require.Equal(t, info.Index, info.LastIndex)
	info, err = backup.Write(t.Context(), io.Discard, kv, backup.Options{Progress: change(true)})
	require.NoError(t, err)
	require.Less(t, info.Index, info.LastIndex)
	_, err = backup.Write(t.Context(), io.Discard, kv, backup.Options{OneMoment: true, Progress: change(true)})
	require.ErrorIs(t, err, kvdb.ErrModified)
	require.ErrorContains(t, err, "not those of one moment")
}
