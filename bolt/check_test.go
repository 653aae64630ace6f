package bolt

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// A file that bbolt wrote passes the check, whatever its contents.
func TestCheckOfWholeFiles(t *testing.T) {
	commits := 200
	if testing.Short() {
		commits = 50
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for n, options := range []bbolt.Options{
		{PageSize: 1024}, {PageSize: 4096, FreelistType: bbolt.FreelistMapType},
		{PageSize: 1024, NoFreelistSync: true}, {PageSize: 16 << 10},
	} {
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		options.NoSync, options.NoGrowSync = true, true
		path := tempFile(t)
		file, err := openFile(path, options)
		require.NoError(t, err)
		for i := range commits {
			require.NoError(t, file.Update(func(tx *bbolt.Tx) error { return randomChanges(random, tx) }))
			if i%5 == 0 {
				require.NoError(t, check(file))
			}
		}
		require.NoError(t, file.Close())
		require.NoError(t, checkAt(path, time.Now().Add(time.Second)))
	}
}

// randomChanges puts and deletes in several buckets, of which some are small,
// some large and some nested.
func randomChanges(random *rand.Rand, tx *bbolt.Tx) error {
	name := []byte(fmt.Sprint(random.IntN(4)))
	if random.IntN(100) == 0 && tx.Bucket(name) != nil {
		return tx.DeleteBucket(name)
	}
	b, err := tx.CreateBucketIfNotExists(name)
	if err == nil && random.IntN(5) == 0 {
		b, err = b.CreateBucketIfNotExists([]byte("nested" + string(name)))
	}
	if err != nil {
		return err
	}
	b.FillPercent = []float64{0.1, 0.5, 1}[random.IntN(3)]
	keys := 1 << (2 * random.IntN(6))
	for range random.IntN(100) {
		key := []byte(fmt.Sprintf("key%0*d", 1+random.IntN(40), random.IntN(keys)))
		if random.IntN(3) == 0 {
			err = b.Delete(key)
		} else {
			err = b.Put(key, make([]byte, random.IntN(1<<random.IntN(11))))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// layout has the positions of pages in a file.
type layout struct {
	file                           []byte
	meta, root, branch, leaf, free []byte // pages in use
	pages                          uint64
}

func layoutOf(t testing.TB, file []byte) layout {
	t.Helper()
	l := layout{file: file}
	page := func(id uint64) []byte { return file[id*fuzzPageSize : (id+1)*fuzzPageSize] }
	l.meta = page(0)
	if number(page(1)[64:]) > number(page(0)[64:]) {
		l.meta = page(1)
	}
	l.root, l.free, l.pages = page(number(l.meta[32:])), page(number(l.meta[48:])), number(l.meta[56:])
	// The bucket of pairs is the last in the root.
	p := parsePage(l.root)
	e, err := p.element(p.count - 1)
	require.NoError(t, err)
	require.Equal(t, string(pairsBucket), string(e.key))
	l.branch = page(number(e.value))
	require.Equal(t, uint64(branchPage), parsePage(l.branch).flags)
	e, err = parsePage(l.branch).element(1)
	require.NoError(t, err)
	l.leaf = page(e.child)
	return l
}

// The check finds each kind of damage.
func TestCheckOfDamagedFiles(t *testing.T) {
	files, _ := templates(t)
	const first, second = pageHeader, pageHeader + elementSize // elements
	put16, put32, put64 := binary.NativeEndian.PutUint16, binary.NativeEndian.PutUint32, binary.NativeEndian.PutUint64
	for name, c := range map[string]struct {
		message string
		damage  func(l layout) []byte
	}{
		"nothing":      {"", func(l layout) []byte { return l.file }},
		"cut off":      {"cut off", func(l layout) []byte { return l.file[:(l.pages-1)*fuzzPageSize] }},
		"meta cut off": {"", func(l layout) []byte { return l.file[:fuzzPageSize+100] }},
		"no meta":      {"", func(l layout) []byte { clear(l.file[:2*fuzzPageSize]); return l.file }},
		"no database":  {"", func(layout) []byte { return []byte(strings.Repeat("text ", 2000)) }},
		"zeros":        {"says it is page 0", func(l layout) []byte { clear(l.file[2*fuzzPageSize:]); return l.file }},
		"circle":       {"used twice", func(l layout) []byte { put64(l.branch[first+8:], number(l.branch)); return l.file }},
		"beyond":       {"beyond the last", func(l layout) []byte { put64(l.branch[second+8:], 1<<40); return l.file }},
		"id":           {"says it is page", func(l layout) []byte { put64(l.leaf, 1); return l.file }},
		"kind":         {"unknown kind", func(l layout) []byte { put16(l.leaf[8:], 7); return l.file }},
		"count":        {"behind its page", func(l layout) []byte { put16(l.branch[10:], 0xffff); return l.file }},
		"empty leaf":   {"is empty", func(l layout) []byte { put16(l.leaf[10:], 0); return l.file }},
		"empty branch": {"is empty", func(l layout) []byte { put16(l.branch[10:], 0); return l.file }},
		"overflow":     {"page", func(l layout) []byte { put32(l.leaf[12:], 1<<31); return l.file }},
		"element kind": {"unknown kind", func(l layout) []byte { put32(l.leaf[second:], 2); return l.file }},
		"position":     {"ends behind", func(l layout) []byte { put32(l.leaf[second+4:], fuzzPageSize); return l.file }},
		"key size":     {"ends behind", func(l layout) []byte { put32(l.leaf[second+8:], 1<<31); return l.file }},
		"value size":   {"ends behind", func(l layout) []byte { put32(l.leaf[second+12:], 1<<31); return l.file }},
		"no key":       {"has no key", func(l layout) []byte { put32(l.leaf[second+8:], 0); return l.file }},
		"order":        {"out of order", func(l layout) []byte { put32(l.leaf[second+8:], 1); return l.file }},
		"first key":    {"out of order", func(l layout) []byte { put32(l.leaf[first+8:], uint32(short(l.leaf[first+8:]))+1); return l.file }},
		"last key": {"out of order", func(l layout) []byte {
			last := pageHeader + (parsePage(l.leaf).count-1)*elementSize
			l.leaf[last+short(l.leaf[last+4:])] = 0xff
			return l.file
		}},
		"bucket":         {"beyond the last", func(l layout) []byte { put32(l.leaf[second:], bucketElement); return l.file }},
		"inline bucket":  {"a bucket is cut off", func(l layout) []byte { put32(l.root[second+12:], bucketHeader+1); return l.file }},
		"free page used": {"used twice", func(l layout) []byte { put64(l.free[pageHeader:], number(l.leaf)); return l.file }},
		"free page 0":    {"used twice", func(l layout) []byte { put64(l.free[pageHeader:], 0); return l.file }},
		"free pages":     {"list of free pages is cut off", func(l layout) []byte { put16(l.free[10:], 1000); return l.file }},
		"many free pages": {"list of free pages is cut off", func(l layout) []byte {
			put16(l.free[10:], manyPages)
			put64(l.free[pageHeader:], 1<<38)
			return l.file
		}},
		"no free pages": {"not the list", func(l layout) []byte { put16(l.free[8:], leafPage); return l.file }},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempFile(t)
			file := c.damage(layoutOf(t, slices.Clone(files[1])))
			require.NoError(t, os.WriteFile(path, file, 0o600))
			kv, err := newKvdb(path)
			if name == "nothing" {
				require.NoError(t, err)
				closeKvdb(t, kv)
				return
			}
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, c.message)
		})
	}
}

// The check finds a file that lacks only its last byte or its last page.
func TestLastPageIsCutOff(t *testing.T) {
	for _, missing := range []int64{1, int64(os.Getpagesize())} {
		path := tempFile(t)
		kv, err := newKvdb(path)
		require.NoError(t, err)
		_, err = kv.Put("key", "value", 0)
		require.NoError(t, err)
		closeKvdb(t, kv)
		raw := openRaw(t, path)
		var used int64
		require.NoError(t, raw.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil }))
		require.NoError(t, raw.Close())
		require.NoError(t, os.Truncate(path, used-missing))
		_, err = newKvdb(path)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "cut off")
	}
}
