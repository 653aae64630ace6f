package modeltest

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// createInTwoSteps lets another client write between its read and its write.
type createInTwoSteps struct{ kvdb.Kvdb }

func (m createInTwoSteps) Create(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	pair, err := m.Get(key)
	if err == nil {
		return pair, kvdb.ErrExist
	}
	time.Sleep(time.Nanosecond)
	return m.Put(key, value, ttl)
}

// setInTwoSteps is the same for CompareAndSet.
type setInTwoSteps struct{ kvdb.Kvdb }

func (m setInTwoSteps) CompareAndSet(pair *kvdb.KVPair, flags kvdb.KVFlags, prev []byte) (*kvdb.KVPair, error) {
	old, err := m.Get(pair.Key)
	if err != nil || old.ModifiedIndex != pair.ModifiedIndex {
		return m.Kvdb.CompareAndSet(pair, flags, prev)
	}
	time.Sleep(time.Nanosecond)
	return m.Put(pair.Key, pair.Value, uint64(pair.TTL))
}

// staleGet sometimes misses the latest write of a key.
type staleGet struct {
	kvdb.Kvdb
	last *sync.Map // key → pair
}

func (m staleGet) Get(key string) (*kvdb.KVPair, error) {
	if pair, seen := m.last.Load(key); seen && rand.IntN(10) == 0 {
		return pair.(*kvdb.KVPair), nil
	}
	pair, err := m.Kvdb.Get(key)
	if err == nil {
		m.last.Store(key, pair)
	}
	return pair, err
}

// treeKeyByKey deletes a tree in as many steps as there are keys.
type treeKeyByKey struct{ kvdb.Kvdb }

func (m treeKeyByKey) DeleteTree(prefix string) error {
	for key := range keyCount {
		if _, err := m.Delete(keyName(key)); err != nil && !errors.Is(err, kvdb.ErrNotFound) {
			return err
		}
		time.Sleep(time.Nanosecond)
	}
	return nil
}

// A store that is not linearizable is detected in fewer histories than TestLinearizable
// checks.
func TestMutantsAreFound(t *testing.T) {
	for name, mutant := range map[string]func(kvdb.Kvdb) kvdb.Kvdb{
		"create in two steps": func(kv kvdb.Kvdb) kvdb.Kvdb { return createInTwoSteps{kv} },
		"set in two steps":    func(kv kvdb.Kvdb) kvdb.Kvdb { return setInTwoSteps{kv} },
		"stale get":           func(kv kvdb.Kvdb) kvdb.Kvdb { return staleGet{kv, &sync.Map{}} },
		"tree key by key":     func(kv kvdb.Kvdb) kvdb.Kvdb { return treeKeyByKey{kv} },
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 100 {
				open := func(t *testing.T) kvdb.Kvdb { return mutant(openMem(t)) }
				if _, linearizable := runRound(t, open, rand.Uint64()); !linearizable {
					t.Logf("found in round %d", round)
					return
				}
			}
			require.Fail(t, "not found")
		})
	}
}
