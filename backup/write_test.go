package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/digest"
)

// A backup has keys, values, indexes and TTLs of all pairs, those of hidden and odd keys among
// them, and no locks.
func TestContent(t *testing.T) {
	kv := openBolt(t)
	put(t, kv, "a", "old", 0)
	put(t, kv, "a", "new <&>", 0)
	put(t, kv, "b/_kvdb-transfer", "x", 0)
	put(t, kv, "dir/_hidden", "", 0)
	put(t, kv, "expires", "x", 1000)
	put(t, kv, "raw/\xff\x00\n", "\x00\xfe", 0)
	lock, err := kv.Lock("locked")
	require.NoError(t, err)
	before := time.Now()
	backup, info := backUp(t, kv, Options{})
	require.NoError(t, kv.Unlock(lock))
	want := []kvdb.KVPair{}
	d := digest.New()
	for pair, err := range kvdb.PairsWith(kv, "", kvdb.PageOptions{Hidden: true}) {
		require.NoError(t, err)
		if pair.Key == "b/_kvdb-transfer" { // is the key of a copy, and not one of the user
			continue
		}
		want = append(want, kvdb.KVPair{
			Key: pair.Key, Value: pair.Value, CreatedIndex: pair.CreatedIndex, ModifiedIndex: pair.ModifiedIndex,
			TTL: pair.TTL, Action: kvdb.KVGet,
		})
		d.Add(pair.Key, pair.Value)
	}
	require.Len(t, want, 4)
	require.Equal(t, want, pairsIn(t, backup))
	require.Equal(t, End{Pairs: 4, Bytes: d.Bytes(), Digest: d.Sum(), LastIndex: info.Index}, info.End)
	require.WithinRange(t, info.Time, before.Add(-time.Second), time.Now())
	info.Time = time.Time{}
	require.Equal(t, Meta{
		Format: "kvdb-backup", Version: 1, Backend: "bolt-kv", Domain: "other", Prefixes: []string{""},
		Index: info.Index, TTL: TTLsRemaining,
	}, info.Meta)
	require.NotZero(t, info.Index)
}

// The TTL in a backup counts from its beginning.
func TestTTLCountsFromTheBeginning(t *testing.T) {
	var b bytes.Buffer
	w := newWriter(&b, Meta{Format: formatName, Version: version, Prefixes: []string{""}})
	require.NoError(t, w.add(&kvdb.KVPair{Key: "a", TTL: 100}, 2500*time.Millisecond, false))
	require.NoError(t, w.add(&kvdb.KVPair{Key: "b"}, 3*time.Second, false))
	require.NoError(t, w.close())
	pairs := pairsIn(t, b.Bytes())
	require.EqualValues(t, 102, pairs[0].TTL)
	require.Zero(t, pairs[1].TTL)
}

func TestNoPairs(t *testing.T) {
	backup, info := backUp(t, openMem(t), Options{})
	require.Empty(t, pairsIn(t, backup))
	require.Equal(t, End{Digest: digest.New().Sum()}, info.End)
	require.Zero(t, info.Index)
}

// Prefixes that overlap are merged, and the keys come in order.
func TestPrefixes(t *testing.T) {
	kv := openMem(t)
	for _, key := range []string{"b/1", "a/x", "ab", "c", "b/_2"} {
		put(t, kv, key, "x", 0)
	}
	backup, info := backUp(t, kv, Options{Prefixes: []string{"b", "a/", "b/", "z"}})
	require.Equal(t, []string{"a/", "b", "z"}, info.Prefixes)
	require.Equal(t, []string{"a/x", "b/1", "b/_2"}, keysIn(t, backup))
	_, info = backUp(t, kv, Options{Prefixes: []string{"0", "a"}})
	require.Zero(t, info.Index, "the first prefix may have been read before the index that pairs show")
	require.NotZero(t, info.LastIndex)
	_, err := Write(t.Context(), io.Discard, kv, Options{Prefixes: []string{"\xff"}})
	require.ErrorIs(t, err, kvdb.ErrIllegal)
}

// The tools that are on every system read a backup.
func TestTools(t *testing.T) {
	kv := openMem(t)
	fill(t, kv, "dir", 100_000)
	put(t, kv, "large", strings.Repeat("x", 10<<20), 0)
	path := filepath.Join(t.TempDir(), "backup.tar.gz")
	info, err := Create(t.Context(), path, kv, Options{})
	require.NoError(t, err)
	dir := t.TempDir()
	run := func(command string) string {
		cmd := exec.Command("sh", "-euc", command)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", command, out)
		return strings.TrimSpace(string(out))
	}
	require.Empty(t, run("gzip -t '"+path+"'"))
	require.Equal(t, "meta.json\ndata/000001.jsonl\ndata/000002.jsonl\nend.json\nSHA256SUMS", run("tar -xvzf '"+path+"'"))
	require.Equal(t, "meta.json: OK\ndata/000001.jsonl: OK\ndata/000002.jsonl: OK\nend.json: OK", run("sha256sum -c SHA256SUMS"))
	require.Equal(t, "-rw-------", run("stat -c %A data/000001.jsonl"))
	size := run("stat -c %s data/000001.jsonl")
	require.Len(t, size, 7, "of at most 8 MiB")
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("NOT RUN: jq is not installed, so it cannot read the pairs")
	}
	require.Equal(t, "100001", run("cat data/*.jsonl | jq -s length"))
	require.Equal(t, "value 99999", run(`jq -r 'select(.k == "dir/099999") | .v | @base64d' data/000001.jsonl`))
	require.Equal(t, info.Digest, run("jq -r .digest end.json"))
	require.Equal(t, "kvdb-backup 1 kv-mem some/domain", run(`jq -r '"\(.format) \(.version) \(.backend) \(.domain)"' meta.json`))
}

// many is a store with many pairs that take no memory.
type many struct {
	kvdb.Kvdb
	pairs, size int
}

func (m many) BindContext(context.Context) kvdb.Kvdb { return m }

func (m many) EnumeratePagesWith(string, kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		random := uint32(1)
		for i := range m.pairs {
			value := make([]byte, m.size)
			for j := range value {
				random = random*1664525 + 1013904223
				value[j] = byte(random >> 24)
			}
			key := []byte("00000000")
			for at, rest := 7, i; rest > 0; at, rest = at-1, rest/10 {
				key[at] += byte(rest % 10)
			}
			if !yield(&kvdb.KVPair{Key: string(key), Value: value, KVDBIndex: 1}, nil) {
				return
			}
		}
	}
}

// Memory does not grow with the number of pairs, when a backup is written and when it is read.
func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory too: `make test` runs this without it")
	}
	kv := many{Kvdb: openMem(t), pairs: 16_000, size: 8192}
	peak := func(f func()) uint64 {
		stop, highest := make(chan struct{}), make(chan uint64)
		go func() {
			var top uint64
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					highest <- top
					return
				case <-tick.C:
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					top = max(top, m.HeapAlloc)
				}
			}
		}()
		f()
		close(stop)
		return <-highest
	}
	path := filepath.Join(t.TempDir(), "backup")
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	const limit = 80 << 20 // the pairs have 125 MiB
	require.Less(t, peak(func() {
		info, err := Create(t.Context(), path, kv, Options{})
		require.NoError(t, err)
		require.Equal(t, 16_000, info.Pairs)
	}), uint64(limit))
}

// A store that changes while its pages are read is noticed.
func TestOneMoment(t *testing.T) {
	kv := openMem(t)
	fill(t, kv, "a", 1500)
	fill(t, kv, "b", 1500)
	once := Options{OneMoment: true, Progress: func(p Progress) {
		if p.Pairs == 1000 {
			put(t, kv, "a/new", "x", 0)
		}
	}}
	_, info := backUp(t, kv, once)
	require.Equal(t, info.Index, info.LastIndex, "mem reads all pages at one moment")
	once.Prefixes = []string{"a", "b"}
	_, err := Write(t.Context(), io.Discard, kv, once)
	require.ErrorIs(t, err, kvdb.ErrModified)
	require.ErrorContains(t, err, `at key "b/000000"`)
	once.OneMoment = false
	_, info = backUp(t, kv, once)
	require.Less(t, info.Index, info.LastIndex)
}

// failing is a writer that fails behind so many bytes.
type failing struct{ left int }

var errFull = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// The errors of the writer, the store and the context are returned.
func TestWriteFails(t *testing.T) {
	kv := openMem(t)
	fill(t, kv, "dir", 2000)
	backup, _ := backUp(t, kv, Options{})
	const seal = 50 // less than the last write has; the time in it changes the size a little
	for left := 0; left < len(backup)-seal; left += 1 + len(backup)/50 {
		_, err := Write(t.Context(), &failing{left}, kv, Options{})
		require.ErrorIs(t, err, errFull)
	}
	_, err := Write(t.Context(), &failing{len(backup) - seal/2}, kv, Options{})
	require.ErrorIs(t, err, errFull)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Write(ctx, io.Discard, kv, Options{Progress: func(Progress) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	w := newWriter(io.Discard, Meta{Prefixes: []string{""}})
	require.NoError(t, w.add(&kvdb.KVPair{Key: "b"}, 0, false))
	require.ErrorContains(t, w.add(&kvdb.KVPair{Key: "a"}, 0, false), "in order")
	require.ErrorIs(t, w.add(&kvdb.KVPair{Key: "c", Value: make([]byte, 96<<20+1)}, 0, false), kvdb.ErrTooLarge)
	require.NoError(t, kvdb.Close(kv))
	_, err = Write(t.Context(), io.Discard, kv, Options{})
	require.ErrorIs(t, err, kvdb.ErrClosed)
}

// Progress counts pairs.
func TestWriteProgress(t *testing.T) {
	kv := openMem(t)
	fill(t, kv, "dir", 2500)
	var seen []Progress
	_, info := backUp(t, kv, Options{Progress: func(p Progress) { seen = append(seen, p) }})
	require.Len(t, seen, 3)
	require.Equal(t, Progress{Phase: PhaseDone, Pairs: 2500, Bytes: info.Bytes}, seen[2])
	require.Equal(t, []int{1000, 2000}, []int{seen[0].Pairs, seen[1].Pairs})
}

// Fields of later releases are ignored.
func TestUnknownFields(t *testing.T) {
	pair, err := decodePair([]byte(`{"k":"a","v":"eA==","c":1,"m":2,"new":{"x":[1]}}`))
	require.NoError(t, err)
	require.Equal(t, &kvdb.KVPair{Key: "a", Value: []byte("x"), CreatedIndex: 1, ModifiedIndex: 2, Action: kvdb.KVGet}, pair)
	m, err := decodeMeta([]byte(`{"format":"kvdb-backup","version":1,"prefixes":["a"],"new":1}`))
	require.NoError(t, err)
	require.True(t, json.Valid(encodeJSON(m)))
}
