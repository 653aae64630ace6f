package transfers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/transfer"
	"github.com/portworx/kvdb/zookeeper"
)

// all makes the tests run all pairs of stores and all faults. Otherwise some tests take a
// selection.
var all = flag.Bool("kvdb.all", false, "test all pairs of stores with all faults, which takes an hour")

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		copyAsChild()
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for something that must happen.
const patience = 2 * time.Minute

// kind is a kind of store.
type kind struct {
	name    string
	backend string
	start   func(testing.TB, servers.Options) *servers.Cluster // nil for a store in process
	ttl     uint64                                             // a TTL that the store takes, 0 if it has none
}

var kinds = []kind{
	{"mem", mem.Name, nil, 2},
	{"bolt", bolt.Name, nil, 2},
	{"etcd v2", etcdv2.Name, servers.Etcd35, 2},
	{"etcd v3", etcdv3.Name, servers.Etcd, 6},
	{"Consul", consul.Name, servers.Consul, 20},
	{"ZooKeeper", zookeeper.Name, servers.ZooKeeper, 0},
}

// place says where a store is, also to a child process.
type place struct {
	Backend, Domain string
	Endpoints       []string
	Path            string // of a bolt file
}

// open opens an instance.
func (p place) open() (kvdb.Kvdb, error) {
	options := map[string]string{}
	if p.Path != "" {
		options[bolt.Path] = p.Path
	}
	return kvdb.New(p.Backend, p.Domain, p.Endpoints, options, nil)
}

// mustOpen opens an instance that is closed at the end of the test.
func (p place) mustOpen(t *testing.T) kvdb.Kvdb {
	kv, err := p.open()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// cluster starts servers of a kind, nil for a store in process.
func (k kind) cluster(t *testing.T) *servers.Cluster {
	if k.start == nil {
		return nil
	}
	return k.start(t, servers.Options{})
}

// place returns a new, empty place.
func (k kind) place(t *testing.T, cluster *servers.Cluster) place {
	p := place{Backend: k.backend, Domain: fmt.Sprintf("domain-%08x", rand.Uint32())}
	if cluster != nil {
		p.Endpoints = cluster.Endpoints()
	} else if k.backend == bolt.Name {
		p.Path = filepath.Join(t.TempDir(), "test.db")
	}
	return p
}

// content returns the pairs of a store, hidden ones included, without those of a copy. A value
// ends with ", expires" if the pair does.
func content(t *testing.T, kv kvdb.Kvdb) map[string]string {
	t.Helper()
	pairs := map[string]string{}
	for pair, err := range kvdb.PairsWith(kv, "", kvdb.PageOptions{Hidden: true, TTL: true}) {
		require.NoError(t, err)
		if strings.Contains(pair.Key, transfer.ReservedPrefix) {
			continue
		}
		pairs[pair.Key] = string(pair.Value)
		if pair.TTL > 0 {
			pairs[pair.Key] += ", expires"
		}
	}
	return pairs
}

// expected returns what the target should have, if the source has pairs.
func expected(pairs map[string]string, target kind) map[string]string {
	want := maps.Clone(pairs)
	for key, value := range pairs {
		switch {
		case target.backend == etcdv2.Name && (strings.HasPrefix(key, "_") || strings.Contains(key, "/_")):
			delete(want, key)
		case target.ttl == 0:
			want[key] = strings.TrimSuffix(value, ", expires")
		}
	}
	return want
}

// requireEqual asserts that a target has what the source has, when what expires has done so.
func requireEqual(t *testing.T, source, target kvdb.Kvdb, k kind) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		want, got := expected(content(t, source), k), content(t, target)
		if maps.Equal(want, got) {
			return
		}
		if time.Now().After(deadline) {
			require.Equal(t, want, got)
		}
		time.Sleep(100 * time.Millisecond) // between two looks at the stores
	}
}

// options returns the options of a copy that carries what the target can hold.
func options(target kind) transfer.Options {
	o := transfer.Options{Delete: true, Skip: true}
	if target.ttl == 0 {
		o.TTL = transfer.TTLDrop
	}
	return o
}

// seed writes pairs to the source, and some to the target that do not belong there.
func seed(t *testing.T, source, target kvdb.Kvdb, from kind, n int) {
	pairs := func(dir string, n int) func(func(*kvdb.KVPair, error) bool) {
		return func(yield func(*kvdb.KVPair, error) bool) {
			for i := range n {
				if !yield(&kvdb.KVPair{Key: fmt.Sprintf("%s/%05d", dir, i), Value: fmt.Appendf(nil, "value %d", i)}, nil) {
					return
				}
			}
		}
	}
	_, err := kvdb.PutMany(t.Context(), source, pairs("tree", n), kvdb.ManyOptions{})
	require.NoError(t, err)
	for dir, n := range map[string]int{"stale": 30, "tree": 20} {
		_, err = kvdb.PutMany(t.Context(), target, pairs(dir, n), kvdb.ManyOptions{})
		require.NoError(t, err)
	}
	_, err = target.Put("tree/00005", "other", 0)
	require.NoError(t, err)
	_, err = source.Put("tree/_hidden", "hidden", 0)
	require.NoError(t, err)
	if from.ttl > 0 {
		_, err = source.Put("expires/late", "x", 3600)
		require.NoError(t, err)
		_, err = source.Put("expires/soon", "x", from.ttl)
		require.NoError(t, err)
	}
}

// writers are two programs that write to a store.
type writers struct {
	stop    context.CancelFunc
	running sync.WaitGroup
}

// startWriters starts two writers. During a fault their writes may fail.
func startWriters(t *testing.T, kv kvdb.Kvdb, k kind) *writers {
	ctx, cancel := context.WithCancel(t.Context())
	w := &writers{stop: cancel}
	for range 2 {
		random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
		w.running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				err := writeOnce(kv, random, n, k.ttl)
				if err != nil && !errors.Is(err, kvdb.ErrNoConnection) && !errors.Is(err, kvdb.ErrUnknownOutcome) {
					t.Errorf("a writer: %v", err)
				}
				time.Sleep(time.Millisecond) // so that the copier has a share of the machine
			}
		})
	}
	t.Cleanup(w.end)
	return w
}

// writeOnce writes or deletes a key.
func writeOnce(kv kvdb.Kvdb, random *rand.Rand, n int, ttl uint64) error {
	key := fmt.Sprintf("tree/%05d", random.IntN(400))
	switch random.IntN(20) {
	case 0, 1, 2, 3, 4:
		if _, err := kv.Delete(key); err != nil && !errors.Is(err, kvdb.ErrNotFound) {
			return err
		}
		return nil
	case 5:
		key = fmt.Sprintf("tree/_hidden%d", random.IntN(5))
	case 6:
		_, err := kv.Put(fmt.Sprintf("expires/%d", random.IntN(5)), fmt.Sprint(n), ttl)
		return err
	}
	_, err := kv.Put(key, fmt.Sprint(random.Uint32(), " ", n), 0)
	return err
}

// end ends the writers and waits for them.
func (w *writers) end() {
	w.stop()
	w.running.Wait()
}
