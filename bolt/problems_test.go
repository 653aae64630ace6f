package bolt

import (
	"encoding/binary"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
)

// problemsOf returns what Check finds, and proves that it does not change the file.
func problemsOf(t testing.TB, path string) []error {
	t.Helper()
	var problems []error
	sameFileAfter(t, path, func() {
		var err error
		problems, err = Check(path)
		require.NoError(t, err)
	})
	for _, problem := range problems {
		require.ErrorIs(t, problem, ErrCorrupt)
		require.ErrorContains(t, problem, path)
	}
	return problems
}

// Check finds nothing in files that are as they should be, also of earlier releases.
func TestCheckFindsNothing(t *testing.T) {
	files, _ := templates(t)
	for _, file := range append(files, nil) {
		path := tempFile(t)
		require.NoError(t, os.WriteFile(path, file, 0o400))
		require.Empty(t, problemsOf(t, path))
	}
	_, err := Check(tempFile(t))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Check(t.TempDir())
	require.ErrorContains(t, err, "not a regular file")
	require.NotErrorIs(t, err, ErrCorrupt)
}

// Check finds that pairs and their TTLs do not fit together, and records that are damaged.
func TestCheckOfContent(t *testing.T) {
	entry := func(expires, modified uint64) []byte {
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, expires), modified)
	}
	for message, damage := range map[string]func(tx *bbolt.Tx) error{
		"key \"plain\": record is cut off": func(tx *bbolt.Tx) error { return tx.Bucket(pairsBucket).Put([]byte("plain"), []byte{1}) },
		"record has version 9": func(tx *bbolt.Tx) error {
			return tx.Bucket(pairsBucket).Put([]byte("new"), append([]byte{9}, make([]byte, 30)...))
		},
		"indexes 0 and 0": func(tx *bbolt.Tx) error {
			return tx.Bucket(pairsBucket).Put([]byte("new"), append([]byte{1}, make([]byte, 30)...))
		},
		"are not possible":          func(tx *bbolt.Tx) error { return tx.Bucket(pairsBucket).SetSequence(1) },
		"index 9223372036854775807": func(tx *bbolt.Tx) error { return tx.Bucket(pairsBucket).SetSequence(1<<63 - 1) },
		"it has a TTL, but": func(tx *bbolt.Tx) error {
			k, _ := tx.Bucket(expiriesBucket).Cursor().First()
			return tx.Bucket(expiriesBucket).Delete(k)
		},
		"it is a bucket":               func(tx *bbolt.Tx) error { _, err := tx.Bucket(pairsBucket).CreateBucket([]byte("b")); return err },
		"no pair with key \"gone\"":    func(tx *bbolt.Tx) error { return tx.Bucket(expiriesBucket).Put(entry(1, 1), []byte("gone")) },
		"no pair with key \"plain\"":   func(tx *bbolt.Tx) error { return tx.Bucket(expiriesBucket).Put(entry(1, 1), []byte("plain")) },
		"no pair with key \"expires\"": func(tx *bbolt.Tx) error { return tx.Bucket(expiriesBucket).Put(entry(1, 1), []byte("expires")) },
		"has 3 bytes":                  func(tx *bbolt.Tx) error { return tx.Bucket(expiriesBucket).Put([]byte("abc"), []byte("expires")) },
		"bucket px is missing":         func(tx *bbolt.Tx) error { return tx.DeleteBucket(pairsBucket) },
		"its format is unreadable":     func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(formatKey, []byte("x")) },
		"database of another program": func(tx *bbolt.Tx) error {
			for _, name := range [][]byte{pairsBucket, metaBucket} {
				if err := tx.DeleteBucket(name); err != nil {
					return err
				}
			}
			return nil
		},
		"record has no Key": func(tx *bbolt.Tx) error { return tx.Bucket(pairsBucket).Put([]byte("legacy"), []byte("{}")) },
	} {
		path := tempFile(t)
		kv := openAt(t, path)
		_, err := kv.Put("plain", "x", 0)
		require.NoError(t, err)
		_, err = kv.Put("expires", "x", 1000)
		require.NoError(t, err)
		closeKvdb(t, kv)
		require.Empty(t, problemsOf(t, path))
		raw := openRaw(t, path)
		require.NoError(t, raw.Update(damage))
		require.NoError(t, raw.Close())
		problems := problemsOf(t, path)
		require.NotEmpty(t, problems, message)
		require.ErrorContains(t, problems[0], message)
	}
}

// A file of another version is no damage.
func TestCheckOfUnknownVersion(t *testing.T) {
	path := tempFile(t)
	closeKvdb(t, openAt(t, path))
	raw := openRaw(t, path)
	require.NoError(t, raw.Update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(formatKey, []byte{0, 0, 0, 9}) }))
	require.NoError(t, raw.Close())
	problems, err := Check(path)
	require.Empty(t, problems)
	require.ErrorContains(t, err, "format 9")
}

// Check stops after many problems, and finds pages that nothing refers to.
func TestCheckBounds(t *testing.T) {
	path := tempFile(t)
	closeKvdb(t, openAt(t, path))
	raw := openRaw(t, path)
	require.NoError(t, raw.Update(func(tx *bbolt.Tx) error {
		for i := range 3 * maxProblems {
			if err := tx.Bucket(pairsBucket).Put([]byte{'k', byte(i >> 8), byte(i)}, []byte{1}); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, raw.Close())
	require.Len(t, problemsOf(t, path), maxProblems)

	files, _ := templates(t)
	l := layoutOf(t, slices.Clone(files[1]))
	require.NotZero(t, parsePage(l.free).count)
	binary.NativeEndian.PutUint16(l.free[10:], uint16(parsePage(l.free).count-1))
	path = tempFile(t)
	require.NoError(t, os.WriteFile(path, l.file, 0o600))
	problems := problemsOf(t, path)
	require.Len(t, problems, 1)
	require.ErrorContains(t, problems[0], "1 pages are neither used nor free")
}

// Check finds damage in the headers of the meta pages, which bbolt itself writes anew.
func TestCheckOfMetaPages(t *testing.T) {
	path := tempFile(t)
	closeKvdb(t, openAt(t, path))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, at := range []int{1, 8, os.Getpagesize() + 1, os.Getpagesize() + 8} {
		file := slices.Clone(whole)
		file[at] ^= 0x1c
		require.NoError(t, os.WriteFile(path, file, 0o600))
		require.Len(t, problemsOf(t, path), 1, "byte %d", at)
		kv := openAt(t, path)
		for range 2 { // writes use the two meta pages in turns
			_, err := kv.Put("key", "value", 0)
			require.NoError(t, err)
		}
		closeKvdb(t, kv)
		require.Empty(t, problemsOf(t, path))
	}
}

// Check of a file that is damaged anywhere does not change it, and does not crash. If it finds
// nothing, New opens the file, and bbolt's own check finds nothing either.
func TestCheckOfRandomDamage(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	files, _ := templates(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path, copied := tempFile(t), filepath.Join(t.TempDir(), "copy.db")
	found := 0
	for range rounds {
		patches := make([]byte, 3*(1+random.IntN(3)))
		for i := range patches {
			patches[i] = byte(random.Uint32())
		}
		cut := uint16(0)
		if random.IntN(4) == 0 {
			cut = uint16(random.Uint32())
		}
		file := damage(files[random.IntN(len(files))], patches, cut, random.IntN(2) == 0)
		require.NoError(t, os.WriteFile(path, file, 0o600))
		var problems []error
		var err error
		sameFileAfter(t, path, func() { problems, err = Check(path) })
		if err != nil { // it may be a file of a later release
			require.ErrorContains(t, err, "which this release does not know", "patches %v", patches)
			continue
		}
		if len(problems) > 0 {
			found++
			continue
		}
		raw := openRaw(t, path)
		require.NoError(t, raw.View(func(tx *bbolt.Tx) error {
			for err := range tx.Check() {
				require.NoError(t, err, "patches %v", patches)
			}
			return nil
		}))
		require.NoError(t, raw.Close())
		require.NoError(t, os.WriteFile(copied, file, 0o600))
		kv, err := newKvdb(copied)
		require.NoError(t, err, "patches %v", patches)
		require.NoError(t, kvdb.Close(kv))
	}
	require.Greater(t, found, rounds/10)
}
