package modeltest

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"

	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/mem"
)

const (
	clients      = 4
	opsPerClient = 60
)

var rounds = flag.Int("kvdb.rounds", 100,
	"histories of 240 operations that TestLinearizable checks on each store; the documentation promises 425, which are 102000 operations")

// TestLinearizable runs random operations of several goroutines on a store, and lets
// porcupine search an order in which the model allows them. It uses synctest, so that TTLs
// take no real time.
func TestLinearizable(t *testing.T) {
	for _, store := range []struct {
		name string
		open func(t *testing.T) kvdb.Kvdb
	}{
		{"mem", openMem},
		{"bolt", openBolt},
	} {
		t.Run(store.name, func(t *testing.T) {
			n := *rounds
			if testing.Short() {
				n /= 10
			}
			for round := range n {
				seed := rand.Uint64()
				history, linearizable := runRound(t, store.open, seed)
				if linearizable {
					continue
				}
				for _, op := range history {
					t.Logf("%d [%d %d] %s", op.ClientId, op.Call, op.Return, model.DescribeOperation(op.Input, op.Output))
				}
				t.Fatalf("round %d, seed %d: the history is not linearizable", round, seed)
			}
		})
	}
}

func openMem(t *testing.T) kvdb.Kvdb {
	kv, err := kvdb.New(mem.Name, "model", nil, nil, nil)
	require.NoError(t, err)
	return kv
}

func openBolt(t *testing.T) kvdb.Kvdb {
	kv, err := kvdb.New(bolt.Name, "model", nil, map[string]string{bolt.KvSnap: t.TempDir() + "/model.db"}, nil)
	require.NoError(t, err)
	return kv
}

// runRound returns the history of operations on a store, and whether the model allows it.
func runRound(t *testing.T, open func(t *testing.T) kvdb.Kvdb, seed uint64) (history []porcupine.Operation, linearizable bool) {
	synctest.Test(t, func(t *testing.T) {
		kv := open(t)
		history = record(kv, seed)
		require.NoError(t, kvdb.Close(kv))
		result, _ := porcupine.CheckOperationsVerbose(model, history, time.Hour)
		linearizable = result == porcupine.Ok
	})
	return history, linearizable
}

// record runs clients that call random operations.
func record(kv kvdb.Kvdb, seed uint64) (history []porcupine.Operation) {
	var clock atomic.Int64 // orders calls and returns
	histories := make([][]porcupine.Operation, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(c)))
			seen := map[int]uint64{} // the last ModifiedIndex of each key that this client saw
			for range opsPerClient {
				if random.IntN(8) == 0 {
					time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
				}
				in := randomInput(random, seen)
				in.at = time.Now().UnixNano()
				call := clock.Add(1)
				out := in.run(kv)
				returned := clock.Add(1)
				out.at = time.Now().UnixNano()
				maps.Copy(seen, out.seen())
				histories[c] = append(histories[c], porcupine.Operation{
					ClientId: c, Input: in, Output: out, Call: call, Return: returned,
				})
			}
		})
	}
	wg.Wait()
	return slices.Concat(histories...)
}

// keyCount is small, so that operations conflict.
const keyCount = 3

func keyName(key int) string { return fmt.Sprintf("dir/k%d", key) }

type kind int

const (
	get kind = iota
	put
	create
	update
	compareAndSet
	remove
	compareAndDelete
	enumerate
	deleteTree
	transaction
	kinds
)

// input is one operation.
type input struct {
	kind     kind
	key      int
	value    string
	ttl      uint64 // seconds
	modified uint64 // for comparisons; transactions do not use it
	other    int    // a transaction's second key
	at       int64  // the time of the call, in Unix ns
}

// output is the result of an operation.
type output struct {
	err               error
	created, modified uint64
	value             string
	pairs             [keyCount]pair // of enumerate
	read              pair           // of transaction: the pair that it read at key
	key               int
	at                int64 // the time of the return, in Unix ns
}

func (o output) seen() map[int]uint64 {
	if o.modified == 0 {
		return nil
	}
	return map[int]uint64{o.key: o.modified}
}

func randomInput(random *rand.Rand, seen map[int]uint64) input {
	in := input{
		kind:  kind(random.IntN(int(kinds))),
		key:   random.IntN(keyCount),
		value: fmt.Sprint(random.IntN(4)),
	}
	if in.kind == deleteTree && random.IntN(3) > 0 {
		in.kind = put
	}
	if random.IntN(4) == 0 {
		in.ttl = uint64(1 + random.IntN(3))
	}
	in.modified = seen[in.key]
	in.other = (in.key + 1 + random.IntN(keyCount-1)) % keyCount
	return in
}

func (in input) run(kv kvdb.Kvdb) output {
	key, out := keyName(in.key), output{key: in.key}
	var p *kvdb.KVPair
	switch in.kind {
	case get:
		p, out.err = kv.Get(key)
	case put:
		p, out.err = kv.Put(key, in.value, in.ttl)
	case create:
		p, out.err = kv.Create(key, in.value, in.ttl)
	case update:
		p, out.err = kv.Update(key, in.value, in.ttl)
	case compareAndSet:
		p, out.err = kv.CompareAndSet(&kvdb.KVPair{
			Key: key, Value: []byte(in.value), ModifiedIndex: in.modified, TTL: int64(in.ttl),
		}, kvdb.KVModifiedIndex|kvdb.KVTTL, nil)
	case remove:
		p, out.err = kv.Delete(key)
	case compareAndDelete:
		p, out.err = kv.CompareAndDelete(&kvdb.KVPair{Key: key, Value: []byte(in.value)}, 0)
	case enumerate:
		var pairs kvdb.KVPairs
		pairs, out.err = kv.Enumerate("dir")
		for _, p := range pairs {
			out.pairs[p.Key[len("dir/k")]-'0'] = toPair(p)
		}
	case deleteTree:
		out.err = kv.DeleteTree("dir")
	case transaction:
		out.read, out.err = in.transact(kv)
	}
	if out.err == nil && p != nil {
		out.created, out.modified, out.value = p.CreatedIndex, p.ModifiedIndex, string(p.Value)
	}
	return out
}

// transact reads key, and writes the value of in to key and to other.
func (in input) transact(kv kvdb.Kvdb) (pair, error) {
	tx, err := kv.TxNew()
	if err != nil {
		return pair{}, err
	}
	var read pair
	p, err := tx.Get(keyName(in.key))
	if err == nil {
		read = toPair(p)
	} else if !errors.Is(err, kvdb.ErrNotFound) {
		return pair{}, err
	}
	for _, key := range []int{in.key, in.other} {
		if _, err := tx.Put(keyName(key), in.value, in.ttl); err != nil {
			return pair{}, err
		}
	}
	return read, tx.Commit()
}
