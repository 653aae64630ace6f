package transfers

import (
	"bytes"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/transfer"
)

// valueSize makes a pair of 127 bytes with the keys of this file.
const valueSize = 127 - len("volumes/000000")

// large returns a bolt file with n pairs of 127 bytes.
func large(t testing.TB, n int) kvdb.Kvdb {
	// The history keeps the values of events in memory, which is not what is measured.
	options := map[string]string{bolt.Path: filepath.Join(t.TempDir(), "source.db"), bolt.KvHistory: "1"}
	kv, err := kvdb.New(bolt.Name, "domain", nil, options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	value := bytes.Repeat([]byte("v"), valueSize)
	_, err = kvdb.PutMany(t.Context(), kv, func(yield func(*kvdb.KVPair, error) bool) {
		for i := range n {
			if !yield(&kvdb.KVPair{Key: fmt.Sprintf("volumes/%06d", i), Value: value}, nil) {
				return
			}
		}
	}, kvdb.ManyOptions{})
	require.NoError(t, err)
	return kv
}

// copyLarge copies n pairs from bolt to etcd v3, and returns how long that takes and the
// largest size of the heap meanwhile.
func copyLarge(t testing.TB, cluster *servers.Cluster, n int) (took time.Duration, heap uint64) {
	source := large(t, n)
	target, err := kvdb.New(kinds[3].backend, fmt.Sprint("domain-", n), cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(target)) })
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	most := live()
	began := time.Now()
	r, err := transfer.Copy(t.Context(), source, target, transfer.Options{
		Progress: func(transfer.Progress) { most = max(most, live()) },
	})
	require.NoError(t, err)
	require.Equal(t, n, r.Target.Pairs)
	require.Equal(t, int64(n*127), r.Target.Bytes)
	return time.Since(began), most
}

// 100,000 pairs are copied in less than a minute, in memory that does not depend on their
// number.
func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	cluster := servers.Etcd(t, servers.Options{})
	_, few := copyLarge(t, cluster, 10_000)
	took, many := copyLarge(t, cluster, 100_000)
	t.Logf("100,000 pairs took %v; the heap had up to %d KiB, with 10,000 pairs %d KiB", took, many>>10, few>>10)
	require.Less(t, took, time.Minute)
	require.Less(t, many, few+8<<20)
}
