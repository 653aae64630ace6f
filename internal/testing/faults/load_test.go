package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// mutants are stores that break one rule each. Their names are the messages of the load
// that must appear.
var mutants = map[string]func(kvdb.Kvdb) kvdb.Kvdb{
	"the watch ended":                  func(kv kvdb.Kvdb) kvdb.Kvdb { return watches{kv, endsEarly} },
	"should have":                      func(kv kvdb.Kvdb) kvdb.Kvdb { return watches{kv, withAGap} },
	"was delivered twice":              func(kv kvdb.Kvdb) kvdb.Kvdb { return watches{kv, twice} },
	"is not greater":                   func(kv kvdb.Kvdb) kvdb.Kvdb { return watches{kv, outOfOrder()} },
	"Get saw":                          func(kv kvdb.Kvdb) kvdb.Kvdb { return &staleReads{Kvdb: kv} },
	"Enumerate saw":                    func(kv kvdb.Kvdb) kvdb.Kvdb { return &staleLists{Kvdb: kv} },
	"another one too":                  func(kv kvdb.Kvdb) kvdb.Kvdb { return &sharedLocks{Kvdb: kv} },
	"the token":                        func(kv kvdb.Kvdb) kvdb.Kvdb { return oldTokens{kv} },
	"nobody had the lock":              func(kv kvdb.Kvdb) kvdb.Kvdb { return noLocks{kv} },
	"Lock: out of order":               func(kv kvdb.Kvdb) kvdb.Kvdb { return &brokenLocks{Kvdb: kv} },
	"nothing was written":              func(kv kvdb.Kvdb) kvdb.Kvdb { return noCreates{kv} },
	"keys/":                            func(kv kvdb.Kvdb) kvdb.Kvdb { return &lostWrites{Kvdb: kv} },
	"Create: Key already":              func(kv kvdb.Kvdb) kvdb.Kvdb { return &createsTwice{Kvdb: kv} },
	"no earlier step took effect late": func(kv kvdb.Kvdb) kvdb.Kvdb { return &setsTwice{Kvdb: kv} },
	"":                                 func(kv kvdb.Kvdb) kvdb.Kvdb { return kv },
}

type watches struct {
	kvdb.Kvdb
	change func(kvdb.WatchCB) kvdb.WatchCB
}

func (m watches) WatchTree(prefix string, waitIndex uint64, opaque interface{}, cb kvdb.WatchCB) error {
	return m.Kvdb.WatchTree(prefix, waitIndex, opaque, m.change(cb))
}

func nth(n int, cb kvdb.WatchCB, other func(prefix string, opaque interface{}, pair *kvdb.KVPair) error) kvdb.WatchCB {
	events := 0
	return func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if events++; events == n && err == nil {
			return other(prefix, opaque, pair)
		}
		return cb(prefix, opaque, pair, err)
	}
}

func endsEarly(cb kvdb.WatchCB) kvdb.WatchCB {
	return nth(7, cb, func(string, interface{}, *kvdb.KVPair) error { return errors.New("enough") })
}

func withAGap(cb kvdb.WatchCB) kvdb.WatchCB {
	return nth(7, cb, func(string, interface{}, *kvdb.KVPair) error { return nil })
}

func twice(cb kvdb.WatchCB) kvdb.WatchCB {
	return nth(7, cb, func(prefix string, opaque interface{}, pair *kvdb.KVPair) error {
		_ = cb(prefix, opaque, pair, nil)
		return cb(prefix, opaque, pair, nil)
	})
}

func outOfOrder() func(cb kvdb.WatchCB) kvdb.WatchCB {
	return func(cb kvdb.WatchCB) kvdb.WatchCB {
		var first *kvdb.KVPair
		n := 0
		return func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
			if n++; n == 7 {
				first = pair
				return nil
			}
			if n == 8 {
				_ = cb(prefix, opaque, pair, err)
				return cb(prefix, opaque, first, nil)
			}
			return cb(prefix, opaque, pair, err)
		}
	}
}

// stale repeats its first result of a read later.
type stale[T any] struct {
	some
	old atomic.Pointer[T]
}

func (m *stale[T]) read(latest T, err error) (T, error) {
	if m.now() && !m.old.CompareAndSwap(nil, &latest) {
		return *m.old.Load(), nil
	}
	return latest, err
}

type staleReads struct {
	kvdb.Kvdb
	stale[*kvdb.KVPair]
}

func (m *staleReads) Get(key string) (*kvdb.KVPair, error) { return m.read(m.Kvdb.Get(key)) }

type staleLists struct {
	kvdb.Kvdb
	stale[kvdb.KVPairs]
}

func (m *staleLists) Enumerate(prefix string) (kvdb.KVPairs, error) {
	return m.read(m.Kvdb.Enumerate(prefix))
}

// some selects every second call.
type some struct{ calls atomic.Int64 }

func (m *some) now() bool { return m.calls.Add(1)%2 == 0 }

type sharedLocks struct {
	kvdb.Kvdb
	n atomic.Int64
}

func (m *sharedLocks) LockWithTimeout(key, owner string, try, hold time.Duration) (*kvdb.KVPair, error) {
	return m.Kvdb.LockWithTimeout(fmt.Sprint(key, m.n.Add(1)), owner, try, hold)
}

type oldTokens struct{ kvdb.Kvdb }

func (m oldTokens) LockWithTimeout(key, owner string, try, hold time.Duration) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.LockWithTimeout(key, owner, try, hold)
	if err == nil {
		pair.ModifiedIndex = 7
	}
	return pair, err
}

type noLocks struct{ kvdb.Kvdb }

func (m noLocks) LockWithTimeout(string, string, time.Duration, time.Duration) (*kvdb.KVPair, error) {
	time.Sleep(time.Millisecond)
	return nil, kvdb.ErrExist
}

type brokenLocks struct {
	kvdb.Kvdb
	some
}

func (m *brokenLocks) LockWithTimeout(key, owner string, try, hold time.Duration) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.LockWithTimeout(key, owner, try, hold)
	if err == nil && m.now() {
		_ = m.Unlock(pair)
		return nil, errors.New("out of order")
	}
	return pair, err
}

type noCreates struct{ kvdb.Kvdb }

func (m noCreates) Create(string, interface{}, uint64) (*kvdb.KVPair, error) {
	time.Sleep(time.Millisecond)
	return nil, kvdb.ErrNoConnection
}

type createsTwice struct {
	kvdb.Kvdb
	some
}

func (m *createsTwice) Create(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.Create(key, value, ttl)
	if err == nil && m.now() {
		return m.Kvdb.Create(key, value, ttl)
	}
	return pair, err
}

type setsTwice struct {
	kvdb.Kvdb
	some
}

func (m *setsTwice) CompareAndSet(pair *kvdb.KVPair, flags kvdb.KVFlags, prev []byte) (*kvdb.KVPair, error) {
	set, err := m.Kvdb.CompareAndSet(pair, flags, prev)
	if err == nil && m.now() {
		return m.Kvdb.CompareAndSet(pair, flags, prev)
	}
	return set, err
}

type lostWrites struct {
	kvdb.Kvdb
	some
	once sync.Once
}

func (m *lostWrites) WatchTree(prefix string, waitIndex uint64, opaque interface{}, cb kvdb.WatchCB) error {
	return m.Kvdb.WatchTree(prefix, waitIndex, opaque, func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil && pair.Action == kvdb.KVDelete {
			return nil
		}
		return cb(prefix, opaque, pair, err)
	})
}

func (m *lostWrites) Create(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.Create(key, value, ttl)
	if err == nil && m.now() {
		m.once.Do(func() { _, _ = m.Delete(key) })
	}
	return pair, err
}

const mutantVariable = "KVDB_FAULTS_MUTANT" // environment variable with a key of mutants

// The load fails on each mutant, with the message that is its name. It runs in another
// process, where it may fail.
func TestMutantsAreFound(t *testing.T) {
	for says := range mutants {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMutant$")
			cmd.Env = append(os.Environ(), mutantVariable+"="+says)
			output, err := cmd.CombinedOutput()
			if says == "" {
				require.NoError(t, err, "%s", output)
				return
			}
			require.Error(t, err)
			require.Contains(t, string(output), says)
		})
	}
}

func TestMutant(t *testing.T) {
	says, run := os.LookupEnv(mutantVariable)
	if !run {
		t.Skip("runs in the process that TestMutantsAreFound starts")
	}
	sound, err := mem.New("faults", nil, nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(sound)) }()
	kv := mutants[says](sound)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	l := newLoad(t, ctx, patience, 0)
	stream := l.start(kv, kv)
	l.running.Wait()
	l.check(kv, stream)
}
