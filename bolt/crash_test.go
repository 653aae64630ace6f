package bolt

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// A crash test starts a process that writes to a file from several goroutines and reports
// each acknowledged write. It kills the process and checks the file. Each goroutine has its
// own keys, and its operations follow from their numbers. So the keys of a goroutine must
// be exactly as after its last reported operation, or after the next one.

const crashWriters = 6

var kills = flag.Int("kvdb.kills", 40,
	"the number of times that TestKill kills a process; other tests do a fraction of it; the documentation promises 200")

// operation is one call of a goroutine.
type operation struct {
	kind string // put, ttl, delete, tree, tx
	keys []string
	n    int // the number of the operation, from which its values are made
}

// operationOf returns the n-th operation of a goroutine.
func operationOf(goroutine, n int) operation {
	random := rand.New(rand.NewPCG(uint64(goroutine), uint64(n)))
	key := func() string { return fmt.Sprintf("w%d/dir%d/key%d", goroutine, random.IntN(3), random.IntN(8)) }
	switch random.IntN(10) {
	case 0:
		return operation{"delete", []string{key()}, n}
	case 1:
		return operation{"tree", []string{fmt.Sprintf("w%d/dir%d", goroutine, random.IntN(3))}, n}
	case 2, 3:
		keys := []string{key(), key(), key(), key()}
		slices.Sort(keys)
		return operation{"tx", slices.Compact(keys), n}
	case 4:
		return operation{"ttl", []string{key()}, n}
	}
	return operation{"put", []string{key()}, n}
}

// crashValue returns a value, often of several pages.
func crashValue(key string, n int) []byte {
	random := rand.New(rand.NewPCG(uint64(len(key)), uint64(n)))
	return bytes.Repeat([]byte(fmt.Sprintf("%s=%d;", key, n)), 1+random.IntN(1<<random.IntN(11)))
}

// run performs the operation, and returns the index of its write, or 0 if it has none.
func (o operation) run(kv kvdb.Kvdb) (uint64, error) {
	switch o.kind {
	case "delete":
		_, err := kv.Delete(o.keys[0])
		if err == kvdb.ErrNotFound {
			err = nil
		}
		return 0, err
	case "tree":
		return 0, kv.DeleteTree(o.keys[0])
	case "tx":
		tx, err := kv.TxNew()
		for _, key := range o.keys {
			if err == nil {
				_, err = tx.Put(key, crashValue(key, o.n), 0)
			}
		}
		if err != nil {
			return 0, err
		}
		return 0, tx.Commit()
	}
	ttl := uint64(0)
	if o.kind == "ttl" {
		ttl = 3600
	}
	pair, err := kv.Put(o.keys[0], crashValue(o.keys[0], o.n), ttl)
	if err != nil {
		return 0, err
	}
	return pair.ModifiedIndex, nil
}

// apply performs the operation on a model of the store.
func (o operation) apply(model map[string]int) {
	switch o.kind {
	case "delete":
		delete(model, o.keys[0])
	case "tree":
		maps.DeleteFunc(model, func(key string, _ int) bool { return strings.HasPrefix(key, o.keys[0]+"/") })
	default:
		for _, key := range o.keys {
			model[key] = o.n
		}
	}
}

// writeUntilKilled writes to a file until the process is killed. Its arguments are the
// path, whether to defragment the file repeatedly, and the first operation of each
// goroutine.
func writeUntilKilled() {
	kv, err := newKvdb(os.Args[1])
	must(err)
	for goroutine := range crashWriters {
		n, err := strconv.Atoi(os.Args[3+goroutine])
		must(err)
		go func() {
			for ; ; n++ {
				index, err := operationOf(goroutine, n).run(kv)
				must(err)
				fmt.Printf("%d %d %d\n", goroutine, n, index)
			}
		}()
	}
	for os.Args[2] == "defragment" {
		must(kv.Defragment("", 0))
	}
	select {}
}

// crashed is the state that a test expects of the file.
type crashed struct {
	path   string
	models [crashWriters]map[string]int
	next   [crashWriters]int // operation of each goroutine
	index  uint64            // the largest reported one
	acks   int
	// leftovers counts the kills after which a file of Defragment was left.
	leftovers int
}

// round starts a process that writes, kills it some time after its first
// write, and checks the file.
func (c *crashed) round(t *testing.T, mode string, life time.Duration) {
	t.Helper()
	args := []string{c.path, mode}
	for _, n := range c.next {
		args = append(args, strconv.Itoa(n))
	}
	process := startChild(t, "write", args...)
	before := c.index
	for line := process.line(); line != ""; line = process.line() {
		if c.acks++; life > 0 {
			time.AfterFunc(life, process.kill)
			life = 0
		}
		var goroutine, n int
		var index uint64
		_, err := fmt.Sscan(line, &goroutine, &n, &index)
		require.NoError(t, err, line)
		require.Equal(t, c.next[goroutine], n)
		operationOf(goroutine, n).apply(c.models[goroutine])
		c.next[goroutine]++
		if index != 0 {
			require.Greater(t, index, before, "indexes grow")
			c.index = max(c.index, index)
		}
	}
	process.kill()
	process.wait()
	if _, err := os.Stat(c.path + compactSuffix); err == nil {
		c.leftovers++
	}
	c.check(t)
}

// check compares the file with the models, and updates these to the state of the file.
func (c *crashed) check(t *testing.T) {
	t.Helper()
	kv, err := newKvdb(c.path)
	require.NoError(t, err)
	defer closeKvdb(t, kv)
	for goroutine := range crashWriters {
		pairs, err := kv.Enumerate(fmt.Sprintf("w%d/", goroutine))
		require.NoError(t, err)
		found := map[string]int{}
		for _, pair := range pairs {
			require.GreaterOrEqual(t, pair.KVDBIndex, max(c.index, pair.ModifiedIndex))
			text, _, _ := strings.Cut(string(pair.Value), ";")
			n, err := strconv.Atoi(strings.TrimPrefix(text, pair.Key+"="))
			require.NoError(t, err, "an incomplete value: %.50q", pair.Value)
			require.Equal(t, crashValue(pair.Key, n), pair.Value)
			found[pair.Key] = n
		}
		if maps.Equal(found, c.models[goroutine]) {
			continue
		}
		acknowledged := maps.Clone(c.models[goroutine])
		operationOf(goroutine, c.next[goroutine]).apply(c.models[goroutine])
		require.Equal(t, c.models[goroutine], found, "goroutine %d, acknowledged up to operation %d: %v",
			goroutine, c.next[goroutine]-1, acknowledged)
		c.next[goroutine]++
	}
}

func newCrashed(t *testing.T) *crashed {
	c := &crashed{path: tempFile(t)}
	for i := range c.models {
		c.models[i] = map[string]int{}
	}
	return c
}

// Whenever the process is killed, the file has all acknowledged writes, and no part of a
// write.
func TestKill(t *testing.T) {
	rounds := *kills
	if testing.Short() {
		rounds /= 4
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := newCrashed(t)
	for range rounds {
		c.round(t, "write", time.Duration(1+random.IntN(50_000))*time.Microsecond)
	}
	t.Logf("%d writes were acknowledged", c.acks)
	require.Greater(t, c.acks, rounds)
}

func TestKillWhileDefragmenting(t *testing.T) {
	rounds := *kills / 4
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := newCrashed(t)
	kv := openAt(t, c.path)
	for i := range 8 { // so that a Defragment takes some time, but some complete
		_, err := kv.Put(fmt.Sprintf("other/%d", i), make([]byte, 200_000), 0)
		require.NoError(t, err)
	}
	closeKvdb(t, kv)
	for range rounds {
		c.round(t, "defragment", time.Duration(1+random.IntN(100_000))*time.Microsecond)
		_, err := os.Stat(c.path + compactSuffix)
		require.ErrorIs(t, err, fs.ErrNotExist, "New removes the leftover file")
	}
	t.Logf("%d writes were acknowledged, Defragment was killed %d times", c.acks, c.leftovers)
	require.NotZero(t, c.leftovers)
}
