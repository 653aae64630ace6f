package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
)

// fuzzPageSize is small, so that few records make many pages.
const fuzzPageSize = 1024

// templates are undamaged files of all kinds, with their contents.
func templates(t testing.TB) (files [][]byte, values []map[string]string) {
	t.Helper()
	add := func(path string) {
		file, err := os.ReadFile(path)
		require.NoError(t, err)
		kv := openAt(t, path)
		files, values = append(files, file), append(values, contents(t, kv))
		closeKvdb(t, kv)
	}
	present := func(n int, options bbolt.Options) string {
		path := tempFile(t)
		options.PageSize, options.NoSync = fuzzPageSize, true
		raw, err := bbolt.Open(path, fileMode, &options)
		require.NoError(t, err)
		_, err = prepare(path, &boltFile{DB: raw})
		require.NoError(t, err)
		require.NoError(t, raw.Close())
		kv := openAt(t, path)
		for i := range n {
			_, err := kv.Put(fmt.Sprintf("dir%d/key%d", i%3, i), strings.Repeat("v", i%70), uint64(i%2*100_000))
			require.NoError(t, err)
		}
		_, err = kv.Put("large", make([]byte, 3*fuzzPageSize), 0)
		require.NoError(t, err)
		for i := range n / 4 { // frees pages
			_, err := kv.Delete(fmt.Sprintf("dir%d/key%d", i%3, i))
			require.NoError(t, err)
		}
		closeKvdb(t, kv)
		return path
	}
	add(present(0, bbolt.Options{}))
	add(present(100, bbolt.Options{}))

	unsynced := present(40, bbolt.Options{}) // a program that opens the file with these options writes no list of free pages
	raw, err := bbolt.Open(unsynced, fileMode, &bbolt.Options{NoFreelistSync: true})
	require.NoError(t, err)
	require.NoError(t, raw.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err }))
	require.NoError(t, raw.Close())
	add(unsynced)

	other := tempFile(t)
	raw, err = bbolt.Open(other, fileMode, &bbolt.Options{PageSize: fuzzPageSize})
	require.NoError(t, err)
	require.NoError(t, raw.Close())
	writeLegacy(t, other, legacyPairs(40))
	add(other)
	return files, values
}

// damage returns file with some bytes changed and its end cut off. Each change is 3 bytes
// of patches: two of the offset, and one with the bits to flip. If sums is true, it
// corrects the checksums of the meta pages, so that they are accepted.
func damage(file, patches []byte, cut uint16, sums bool) []byte {
	file = slices.Clone(file)
	for ; len(patches) >= 3; patches = patches[3:] {
		file[int(binary.LittleEndian.Uint16(patches))%len(file)] ^= patches[2]
	}
	if sums {
		for _, meta := range [][]byte{file[pageHeader:metaSize], file[fuzzPageSize+pageHeader : fuzzPageSize+metaSize]} {
			sum := fnv.New64a()
			_, _ = sum.Write(meta[:56])
			binary.NativeEndian.PutUint64(meta[56:], sum.Sum64())
		}
	}
	return file[:max(0, len(file)-int(cut))]
}

// use opens a file, reads and writes it, and returns the error of New. Every error must
// name the file.
func use(t testing.TB, path string) error {
	kv, err := newKvdb(path)
	if err != nil {
		return err
	}
	check := func(err error) bool {
		if err != nil && !errors.Is(err, kvdb.ErrNotFound) && !errors.Is(err, kvdb.ErrIllegal) {
			require.ErrorContains(t, err, path)
		}
		return err == nil
	}
	pairs, err := kv.Enumerate("")
	if check(err) {
		require.True(t, slices.IsSortedFunc(pairs, func(a, b *kvdb.KVPair) int { return strings.Compare(a.Key, b.Key) }))
	}
	for _, pair := range pairs {
		if got, err := kv.Get(pair.Key); check(err) {
			require.Equal(t, pair.Value, got.Value)
		}
	}
	_, err = kv.Keys("", "")
	check(err)
	_, _, err = kv.Snapshot(nil, true)
	check(err)
	for i, pair := range pairs {
		switch i % 3 {
		case 0:
			_, err = kv.Delete(pair.Key)
		case 1:
			_, err = kv.Put(pair.Key, "new", 100)
		}
		check(err)
	}
	check(kv.Defragment("", 60))
	for i := range 30 {
		key := fmt.Sprintf("new%d", i)
		if _, err = kv.Put(key, key, 0); check(err) {
			got, err := kv.Get(key)
			if check(err) {
				require.Equal(t, key, string(got.Value))
			}
		}
	}
	check(kv.DeleteTree(""))
	check(kvdb.Close(kv))
	return nil
}

// FuzzFile checks that, for a damaged file, New returns an error that names the file or the
// instance works.
func FuzzFile(f *testing.F) {
	files, values := templates(f)
	for i := range files {
		f.Add(uint8(i), []byte{}, uint16(0), false)
		f.Add(uint8(i), []byte{}, uint16(5000), true)
		for page := range 8 {
			header := byte(page * (fuzzPageSize >> 8))
			f.Add(uint8(i), []byte{8, header, 3}, uint16(0), true)                       // the kind of a page
			f.Add(uint8(i), []byte{10, header, 0xff, 11, header, 0xff}, uint16(0), true) // its number of elements
			f.Add(uint8(i), []byte{12, header, 1}, uint16(0), true)                      // its overflow
			f.Add(uint8(i), []byte{24, header, 7, 28, header, 7}, uint16(0), true)       // its first element
		}
		for field := byte(16); field < metaSize; field += 4 {
			f.Add(uint8(i), []byte{field, 0, 1, field, fuzzPageSize >> 8, 1}, uint16(0), true)
		}
	}
	f.Fuzz(func(t *testing.T, template uint8, patches []byte, cut uint16, sums bool) {
		n := int(template) % len(files)
		path := tempFile(t)
		require.NoError(t, os.WriteFile(path, damage(files[n], patches, cut, sums), 0o600))
		within(t, 20*time.Second, func() {
			if len(patches) < 3 && cut == 0 {
				kv, err := newKvdb(path)
				require.NoError(t, err)
				require.Equal(t, values[n], contents(t, kv))
				require.NoError(t, kvdb.Close(kv))
			}
			if err := use(t, path); err != nil {
				require.ErrorContains(t, err, path)
			}
		})
	})
}

// FuzzBytes opens files with arbitrary bytes.
func FuzzBytes(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("no database"))
	f.Add(make([]byte, 100_000))
	files, _ := templates(f)
	f.Add(files[0][:3000])
	f.Fuzz(func(t *testing.T, file []byte) {
		path := tempFile(t)
		require.NoError(t, os.WriteFile(path, file, 0o600))
		if err := use(t, path); err != nil {
			require.ErrorContains(t, err, path)
			require.ErrorIs(t, err, ErrCorrupt)
		}
	})
}
