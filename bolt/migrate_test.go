package bolt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/tree"
)

// writeLegacy writes pairs as earlier releases do: as JSON, at their keys.
func writeLegacy(t testing.TB, path string, pairs map[string]*kvdb.KVPair) {
	t.Helper()
	raw, err := bbolt.Open(path, 0o644, &bbolt.Options{NoSync: true})
	require.NoError(t, err)
	require.NoError(t, raw.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("px"))
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(pairs)) {
			encoded, err := json.Marshal(pairs[key])
			if err != nil {
				return err
			}
			if err := bucket.Put([]byte(key), encoded); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, raw.Close())
}

// legacyPairs returns n pairs of an earlier release with indexes that repeat, as they do
// in a file that was opened several times.
func legacyPairs(n int) map[string]*kvdb.KVPair {
	pairs := map[string]*kvdb.KVPair{}
	for i := range n {
		key := fmt.Sprintf("domain/dir%d/key%d", i%7, i)
		created := uint64(i%1000 + 1)
		pairs[key] = &kvdb.KVPair{
			Key: key, Value: []byte(fmt.Sprintf("value %d %s", i, strings.Repeat("x", i%50))),
			Action: kvdb.KVSet, KVDBIndex: created + 5, CreatedIndex: created, ModifiedIndex: created + uint64(i%5),
		}
	}
	return pairs
}

// oddKeys are keys that a program may have used, besides the usual ones.
var oddKeys = []string{
	"a//b", "/lead", "trail/", "ünï/cödé", "sp ace", "_hidden", "dir/_hidden", "nul\x00nul", "new\nline",
	"not\xff\xfeUTF-8", "{", "\x01", strings.Repeat("k", bbolt.MaxKeySize),
}

func TestFileOfEarlierRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempFile(t)
		pairs := legacyPairs(2*moveRecords + 500)
		for i, key := range oddKeys {
			pairs[key] = &kvdb.KVPair{
				Key: "as given", Value: []byte(key[:1]), TTL: int64(i%2) * 3600,
				CreatedIndex: 7, ModifiedIndex: 9, // the same index for all pairs
			}
		}
		pairs["empty"] = &kvdb.KVPair{Key: "empty", CreatedIndex: 3, ModifiedIndex: 3}
		pairs["large"] = &kvdb.KVPair{Key: "large", Value: make([]byte, moveBytes), CreatedIndex: 4, ModifiedIndex: 5}
		pairs["lock"] = &kvdb.KVPair{Key: "lock", Value: []byte("v"), Lock: map[string]int{"a": 1}, CreatedIndex: 4, ModifiedIndex: 5}
		pairs["last"] = &kvdb.KVPair{Key: "last", KVDBIndex: 5000, CreatedIndex: 1, ModifiedIndex: 4000}
		writeLegacy(t, path, pairs)

		for round := range 2 { // the second time there is nothing to migrate
			kv := openAt(t, path)
			found, err := kv.Enumerate("")
			require.NoError(t, err)
			found = append(found, hiddenPairs(t, kv)...)
			require.Len(t, found, len(pairs))
			for _, pair := range found {
				want := pairs[pair.Key]
				require.NotNil(t, want, "%q", pair.Key)
				require.Equal(t, append([]byte{}, want.Value...), pair.Value, "%q", pair.Key)
				require.Equal(t, want.CreatedIndex, pair.CreatedIndex, "%q", pair.Key)
				require.Equal(t, want.ModifiedIndex, pair.ModifiedIndex, "%q", pair.Key)
			}
			put, err := kv.Put("key", "value", 0)
			require.NoError(t, err)
			require.Equal(t, uint64(5001+2*round), put.ModifiedIndex)
			_, err = kv.Delete("key")
			require.NoError(t, err)
			closeKvdb(t, kv)
			time.Sleep(time.Hour / 4)
		}
		time.Sleep(time.Hour/2 + time.Second) // an hour after the migration
		kv := openAt(t, path)
		for key, pair := range pairs {
			_, err := kv.Get(key)
			if pair.TTL > 0 {
				require.Equal(t, kvdb.ErrNotFound, err, "%q", key)
			} else {
				require.NoError(t, err, "%q", key)
			}
		}
		db := openDatabase(t, path)
		require.Equal(t, 0, entries(t, db, expiriesBucket))
		maps.DeleteFunc(pairs, func(_ string, pair *kvdb.KVPair) bool { return pair.TTL > 0 })
		require.Equal(t, len(pairs), entries(t, db, pairsBucket), "the expired pairs are deleted, although their indexes are equal")
	})
}

// A TTL that overflows becomes the maximum TTL.
func TestLongTTLOfEarlierRelease(t *testing.T) {
	path := tempFile(t)
	writeLegacy(t, path, map[string]*kvdb.KVPair{
		"key": {Key: "key", TTL: math.MaxInt64, CreatedIndex: 1, ModifiedIndex: 1},
	})
	_, err := openAt(t, path).Get("key")
	require.NoError(t, err)
}

// hiddenPairs returns the pairs that Enumerate omits.
func hiddenPairs(t testing.TB, kv kvdb.Kvdb) (hidden kvdb.KVPairs) {
	t.Helper()
	for _, key := range []string{"_hidden", "dir/_hidden"} {
		pair, err := kv.Get(key)
		require.NoError(t, err)
		hidden = append(hidden, pair)
	}
	return hidden
}

// A record that cannot be decoded stops the migration, and nothing is lost.
func TestUnreadableRecord(t *testing.T) {
	for name, record := range map[string]string{
		"no JSON":   `{"Key":"key","Value":"dmFsdWU=`,
		"no pair":   `{"name":"value"}`,
		"no base64": `{"Key":"key","Value":"?"}`,
		"index":     `{"Key":"key","ModifiedIndex":18446744073709551615}`,
		"version":   "\x02" + strings.Repeat("x", 100),
		"empty":     "",
		"cut off":   "\x01" + strings.Repeat("x", headerSize-2),
		"created 0": string(encodedRecord(0, 1)),
		"order":     string(encodedRecord(2, 1)),
		"too new":   string(encodedRecord(1, math.MaxInt64)),
	} {
		t.Run(name, func(t *testing.T) {
			path := tempFile(t)
			writeLegacy(t, path, legacyPairs(10))
			updateRaw(t, path, func(tx *bbolt.Tx) error {
				return tx.Bucket(pairsBucket).Put([]byte("the key"), []byte(record))
			})
			_, err := newKvdb(path)
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, `"the key"`)
			updateRaw(t, path, func(tx *bbolt.Tx) error {
				require.Equal(t, record, string(tx.Bucket(pairsBucket).Get([]byte("the key"))))
				return tx.Bucket(pairsBucket).Delete([]byte("the key"))
			})
			require.Len(t, contents(t, openAt(t, path)), 10)
		})
	}
}

func encodedRecord(created, modified uint64) []byte {
	return encodeRecord(&tree.Record{Created: created, Modified: modified}, []byte("value"))
}

// If an earlier release writes to a migrated file, its JSON is migrated again.
func TestMixedFile(t *testing.T) {
	path := tempFile(t)
	kv := openAt(t, path)
	first, err := kv.Put("ours", "value", 1000)
	require.NoError(t, err)
	closeKvdb(t, kv)
	writeLegacy(t, path, map[string]*kvdb.KVPair{
		"theirs": {Key: "theirs", Value: []byte("value"), CreatedIndex: 90, ModifiedIndex: 99},
	})
	kv = openAt(t, path)
	require.Equal(t, map[string]string{"ours": "value", "theirs": "value"}, contents(t, kv))
	ours, err := kv.Get("ours")
	require.NoError(t, err)
	require.Equal(t, first.ModifiedIndex, ours.ModifiedIndex)
	next, err := kv.Put("ours", "value", 0)
	require.NoError(t, err)
	require.Equal(t, uint64(100), next.ModifiedIndex)
}

// migrateUntilKilled opens a file, which migrates its records.
func migrateUntilKilled() {
	fmt.Println("begin")
	kv, err := newKvdb(os.Args[1])
	must(err)
	fmt.Println("moved")
	_, err = io.Copy(io.Discard, os.Stdin)
	must(err)
	must(kvdb.Close(kv))
}

// migrateWithoutRoom opens a file with less and less space for a copy.
func migrateWithoutRoom() {
	signal.Ignore(syscall.SIGXFSZ)
	path := os.Args[1]
	for _, room := range []uint64{64 << 10, 100, 0} {
		must(limitFiles(room))
		_, err := newKvdb(path)
		_, part := os.Stat(path + BackupSuffix + partSuffix)
		_, backup := os.Stat(path + BackupSuffix)
		fmt.Println(errors.Is(err, syscall.EFBIG), strings.Contains(err.Error(), BackupSuffix),
			errors.Is(part, fs.ErrNotExist), errors.Is(backup, fs.ErrNotExist))
	}
	fmt.Println("done")
}

// A file of an earlier release is copied, byte by byte, before it is migrated.
func TestCopyBeforeMigration(t *testing.T) {
	path := tempFile(t)
	writeLegacy(t, path, legacyPairs(1000))
	require.NoError(t, os.Chmod(path, 0o640))
	original, err := os.ReadFile(path)
	require.NoError(t, err)
	backup := path + BackupSuffix
	require.NoError(t, os.WriteFile(backup+partSuffix, []byte("half a copy"), 0o600)) // from a process that was killed

	closeKvdb(t, openAt(t, path))
	copied, err := os.ReadFile(backup)
	require.NoError(t, err)
	require.True(t, bytes.Equal(original, copied))
	info, err := os.Stat(backup)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode().Perm())
	require.NoFileExists(t, backup+partSuffix)

	// An existing copy is kept.
	require.NoError(t, os.WriteFile(backup, []byte("the first copy"), 0o600))
	writeLegacy(t, path, map[string]*kvdb.KVPair{"theirs": {Key: "theirs", CreatedIndex: 1, ModifiedIndex: 1}})
	require.Len(t, contents(t, openAt(t, path)), 1001)
	copied, err = os.ReadFile(backup)
	require.NoError(t, err)
	require.Equal(t, "the first copy", string(copied))

	// Replace the file by the copy, and migrate again.
	back := tempFile(t)
	writeLegacy(t, back, legacyPairs(10))
	kv := openAt(t, back)
	_, err = kv.Put("new", "value", 0)
	require.NoError(t, err)
	closeKvdb(t, kv)
	require.NoError(t, os.Rename(back+BackupSuffix, back))
	require.Equal(t, 10, countLegacy(t, back))
	require.Len(t, contents(t, openAt(t, back)), 10)
	require.FileExists(t, back+BackupSuffix)

	// A file of the present format is not copied.
	fresh := tempFile(t)
	kv = openAt(t, fresh)
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	closeKvdb(t, kv)
	closeKvdb(t, openAt(t, fresh))
	require.NoFileExists(t, fresh+BackupSuffix)

	// A folder has the name of the copy.
	odd := tempFile(t)
	writeLegacy(t, odd, legacyPairs(10))
	require.NoError(t, os.Mkdir(odd+BackupSuffix, 0o700))
	_, err = newKvdb(odd)
	require.ErrorContains(t, err, BackupSuffix)
	require.Equal(t, 10, countLegacy(t, odd))
}

// Without space for the copy nothing is migrated, and a partial copy is not used.
func TestNoSpaceForCopy(t *testing.T) {
	path := tempFile(t)
	writeLegacy(t, path, legacyPairs(5000))
	original, err := os.ReadFile(path)
	require.NoError(t, err)
	c := startChild(t, "no room", path)
	for line := c.line(); line != "done"; line = c.line() {
		require.Equal(t, "true true true true", line)
	}
	c.wait()
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(original, now))
	require.Len(t, contents(t, openAt(t, path)), 5000)
	require.FileExists(t, path+BackupSuffix)
}

// All records are migrated, however often the migration is interrupted.
func TestKillWhileMigrating(t *testing.T) {
	rounds := *kills / 10
	template := tempFile(t)
	pairs := legacyPairs(10_000)
	writeLegacy(t, template, pairs)
	original, err := os.ReadFile(template)
	require.NoError(t, err)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	began := time.Now()
	path := tempFile(t)
	require.NoError(t, os.WriteFile(path, original, 0o600))
	closeKvdb(t, openAt(t, path))
	duration := time.Since(began)
	half, copies := 0, 0
	for range rounds {
		path := tempFile(t)
		require.NoError(t, os.WriteFile(path, original, 0o600))
		for kill := range 3 {
			c := startChild(t, "migrate", path)
			require.Equal(t, "begin", c.line())
			if kill == 0 {
				killWhileCopying(c, path)
			} else {
				time.AfterFunc(time.Duration(random.Int64N(int64(duration))), c.kill)
			}
			moved := c.line() == "moved"
			c.kill()
			c.wait()
			left := countLegacy(t, path)
			if copied, err := os.ReadFile(path + BackupSuffix); err == nil {
				require.True(t, bytes.Equal(original, copied), "the copy is incomplete, or of a partly migrated file")
				copies++
			} else {
				require.Equal(t, len(pairs), left, "migrated without a copy")
			}
			if left > 0 {
				require.False(t, moved)
				if left < len(pairs) {
					half++
				}
			}
		}
		kv := openAt(t, path)
		found, err := kv.Enumerate("")
		require.NoError(t, err)
		require.Len(t, found, len(pairs))
		for _, pair := range found {
			want := pairs[pair.Key]
			if string(want.Value) != string(pair.Value) || want.ModifiedIndex != pair.ModifiedIndex {
				require.Equal(t, want, pair)
			}
		}
		require.Equal(t, uint64(1005), found[0].KVDBIndex)
		closeKvdb(t, kv)
	}
	t.Logf("killed during the migration: %d of %d times; without a copy: %d", half, 3*rounds, 3*rounds-copies)
}

// killWhileCopying kills a child as soon as it begins to copy the file.
func killWhileCopying(c *child, path string) {
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		for _, name := range []string{path + BackupSuffix, path + BackupSuffix + partSuffix} {
			if _, err := os.Stat(name); err == nil {
				c.kill()
				return
			}
		}
	}
}

// countLegacy returns the number of records that are not migrated.
func countLegacy(t testing.TB, path string) (n int) {
	t.Helper()
	raw := openRaw(t, path)
	require.NoError(t, raw.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(pairsBucket).ForEach(func(_, encoded []byte) error {
			if isLegacy(encoded) {
				n++
			}
			return nil
		})
	}))
	require.NoError(t, raw.Close())
	return n
}
