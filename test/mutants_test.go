package test_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test"
)

// sound is a backend that follows all rules. Each mutant below breaks one.
type sound struct{ kvdb.Kvdb }

func (s sound) Close() error { return kvdb.Close(s.Kvdb) }

func (s sound) BindContext(ctx context.Context) kvdb.Kvdb {
	return sound{kvdb.WithContext(ctx, s.Kvdb)}
}

func (s sound) EnumeratePagesWith(prefix string, o kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	return kvdb.PairsWith(s.Kvdb, prefix, o)
}

func (s sound) AddHooks(hooks ...kvdb.Hook)    { _ = kvdb.AddHooks(s.Kvdb, hooks...) }
func (s sound) RemoveHooks(hooks ...kvdb.Hook) { kvdb.RemoveHooks(s.Kvdb, hooks...) }

func (s sound) TTLOf(key string) (time.Duration, bool, error) { return kvdb.TTLOf(s.Kvdb, key) }

type staleGet struct {
	sound
	seen map[string]*kvdb.KVPair
}

func (m staleGet) Get(key string) (*kvdb.KVPair, error) {
	if pair, seen := m.seen[key]; seen {
		return pair, nil
	}
	pair, err := m.Kvdb.Get(key)
	if err == nil {
		m.seen[key] = pair
	}
	return pair, err
}

type sharedPairs struct {
	sound
	pairs *sync.Map // pairs that were returned, by their indexes
}

func (m sharedPairs) Get(key string) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.Get(key)
	if err != nil {
		return nil, err
	}
	shared, _ := m.pairs.LoadOrStore(pair.ModifiedIndex, pair)
	return shared.(*kvdb.KVPair), nil
}

type createInTwoSteps struct{ sound }

func (m createInTwoSteps) Create(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	if _, err := m.Get(key); err == nil {
		return nil, kvdb.ErrExist
	}
	time.Sleep(time.Millisecond) // so that other clients write meanwhile
	return m.Put(key, value, ttl)
}

type wrappedErrors struct{ sound }

func (m wrappedErrors) Delete(key string) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.Delete(key)
	if err != nil {
		err = fmt.Errorf("delete: %w", err)
	}
	return pair, err
}

type deleteByPrefix struct{ sound }

func (m deleteByPrefix) DeleteTree(prefix string) error {
	pairs, err := m.Enumerate(prefix)
	for _, pair := range pairs {
		_, deleteErr := m.Delete(pair.Key)
		err = errors.Join(err, deleteErr)
	}
	return err
}

type unsorted struct{ sound }

func (m unsorted) Enumerate(prefix string) (kvdb.KVPairs, error) {
	pairs, err := m.Kvdb.Enumerate(prefix)
	slices.Reverse(pairs)
	return pairs, err
}

type keysWithoutHidden struct{ sound }

func (m keysWithoutHidden) Keys(prefix, sep string) ([]string, error) {
	names, err := m.Kvdb.Keys(prefix, sep)
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "_") }), err
}

type setWithoutPrevValue struct{ sound }

func (m setWithoutPrevValue) CompareAndSet(pair *kvdb.KVPair, flags kvdb.KVFlags, _ []byte) (*kvdb.KVPair, error) {
	return m.Kvdb.CompareAndSet(pair, flags, nil)
}

type noTTL struct{ sound }

func (m noTTL) Put(key string, value interface{}, _ uint64) (*kvdb.KVPair, error) {
	return m.Kvdb.Put(key, value, 0)
}

// lateLists is a backend whose lists have a pair for a second after Get says that it expired.
type lateLists struct {
	sound
	ends *sync.Map // the time at which Get stops to find a key
}

func (m lateLists) Put(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	if ttl == 0 {
		return m.Kvdb.Put(key, value, 0)
	}
	m.ends.Store(key, time.Now().Add(time.Duration(ttl)*time.Second))
	pair, err := m.Kvdb.Put(key, value, ttl+1)
	if err == nil {
		pair.TTL--
	}
	return pair, err
}

func (m lateLists) Get(key string) (*kvdb.KVPair, error) {
	if end, known := m.ends.Load(key); known && time.Now().After(end.(time.Time)) {
		return nil, kvdb.ErrNotFound
	}
	return m.Kvdb.Get(key)
}

// watches is a mutant that wraps the callbacks of watches.
type watches struct {
	sound
	change func(kvdb.WatchCB) kvdb.WatchCB
}

func (m watches) WatchTree(prefix string, waitIndex uint64, opaque interface{}, cb kvdb.WatchCB) error {
	return m.Kvdb.WatchTree(prefix, waitIndex, opaque, m.change(cb))
}

func twice(cb kvdb.WatchCB) kvdb.WatchCB {
	return func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if err := cb(prefix, opaque, pair, err); err != nil {
			return err
		}
		return cb(prefix, opaque, pair, err)
	}
}

func withGaps(cb kvdb.WatchCB) kvdb.WatchCB {
	events := 0
	return func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if events++; events%7 == 0 && err == nil && pair.Action == kvdb.KVSet {
			return nil
		}
		return cb(prefix, opaque, pair, err)
	}
}

func wrappedEnd(cb kvdb.WatchCB) kvdb.WatchCB {
	return func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if err != nil {
			err = fmt.Errorf("watch: %w", err)
		}
		return cb(prefix, opaque, pair, err)
	}
}

func withoutEnd(cb kvdb.WatchCB) kvdb.WatchCB {
	return func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if err != nil {
			return err
		}
		return cb(prefix, opaque, pair, nil)
	}
}

// lossyBatches delivers in batches, and loses the first deletion in each.
type lossyBatches struct{ sound }

func (m lossyBatches) BindContext(ctx context.Context) kvdb.Kvdb {
	return lossyBatches{sound{kvdb.WithContext(ctx, m.Kvdb)}}
}

func (m lossyBatches) WatchBatches(prefix string, waitIndex uint64, cb kvdb.WatchBatchCB) error {
	return kvdb.WatchBatches(m.Kvdb, prefix, waitIndex, func(events kvdb.KVPairs, err error) error {
		if i := slices.IndexFunc(events, func(event *kvdb.KVPair) bool { return event.Action == kvdb.KVDelete }); i >= 0 {
			events = slices.Delete(events, i, i+1)
		}
		if len(events) == 0 && err == nil {
			return nil
		}
		return cb(events, err)
	})
}

type sharedLocks struct {
	sound
	n atomic.Int64
}

func (m *sharedLocks) LockWithTimeout(key, owner string, try, hold time.Duration) (*kvdb.KVPair, error) {
	return m.Kvdb.LockWithTimeout(fmt.Sprint(key, m.n.Add(1)), owner, try, hold)
}

// sharedViews is sharedLocks for an instance and its views.
type sharedViews struct {
	sound
	n *atomic.Int64
}

func (m sharedViews) LockWithTimeout(key, owner string, try, hold time.Duration) (*kvdb.KVPair, error) {
	return m.Kvdb.LockWithTimeout(fmt.Sprint(key, m.n.Add(1)), owner, try, hold)
}

func (m sharedViews) BindContext(ctx context.Context) kvdb.Kvdb {
	return sharedViews{sound{kvdb.WithContext(ctx, m.Kvdb)}, m.n}
}

type pollingLocks struct{ sound }

func (m pollingLocks) LockWithTimeout(key, owner string, try, hold time.Duration) (*kvdb.KVPair, error) {
	for deadline := time.Now().Add(try); ; time.Sleep(time.Second) {
		pair, err := m.Kvdb.LockWithTimeout(key, owner, 0, hold)
		if !errors.Is(err, kvdb.ErrExist) || time.Until(deadline) < time.Second {
			return pair, err
		}
	}
}

// deafLocks is a backend whose locks are lost without a notice.
type deafLocks struct{ sound }

type deafLock struct {
	kvdb.HeldLock
	pair *kvdb.KVPair
}

func (deafLock) Lost() <-chan struct{} { return nil }

func (m deafLocks) LockWithTimeout(key, owner string, try, hold time.Duration) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.LockWithTimeout(key, owner, try, hold)
	if err != nil {
		return nil, err
	}
	deaf := *pair
	deaf.Lock = deafLock{pair.Lock.(kvdb.HeldLock), pair}
	return &deaf, nil
}

func (m deafLocks) Unlock(pair *kvdb.KVPair) error { return m.Kvdb.Unlock(pair.Lock.(deafLock).pair) }

func (m deafLocks) BindContext(ctx context.Context) kvdb.Kvdb {
	return deafLocks{sound{kvdb.WithContext(ctx, m.Kvdb)}}
}

// boundLocks is a backend whose locks stay with the view that obtained them.
type boundLocks struct {
	sound
	ctx context.Context
}

func (m boundLocks) BindContext(ctx context.Context) kvdb.Kvdb {
	return boundLocks{sound{kvdb.WithContext(ctx, m.Kvdb)}, ctx}
}

func (m boundLocks) Unlock(pair *kvdb.KVPair) error {
	if m.ctx != nil {
		return nil
	}
	return m.Kvdb.Unlock(pair)
}

// silentKeys is a backend whose watches of a key deliver nothing.
type silentKeys struct{ sound }

func (m silentKeys) WatchKey(key string, index uint64, opaque interface{}, cb kvdb.WatchCB) error {
	return m.Kvdb.WatchKey(key, index, opaque, func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if err != nil {
			return cb(prefix, opaque, pair, err)
		}
		return nil
	})
}

func (m silentKeys) BindContext(ctx context.Context) kvdb.Kvdb {
	return silentKeys{sound{kvdb.WithContext(ctx, m.Kvdb)}}
}

type anyUnlock struct{ sound }

func (m anyUnlock) Unlock(pair *kvdb.KVPair) error {
	if err := m.Kvdb.Unlock(pair); !errors.Is(err, kvdb.ErrInvalidLock) {
		return err
	}
	return nil
}

type earlySnapshots struct{ sound }

func (m earlySnapshots) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	snapshot, index, err := m.Kvdb.Snapshot(prefixes, consistent)
	return snapshot, index - 1, err
}

// lateSnapshots is a backend whose snapshots have an index of later writes.
type lateSnapshots struct{ sound }

func (m lateSnapshots) BindContext(ctx context.Context) kvdb.Kvdb {
	return lateSnapshots{sound{kvdb.WithContext(ctx, m.Kvdb)}}
}

func (m lateSnapshots) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	snapshot, index, err := m.Kvdb.Snapshot(prefixes, consistent)
	return snapshot, index + 5, err
}

// forgetfulSnapshots is a backend whose snapshots lack a hidden key.
type forgetfulSnapshots struct{ sound }

func (m forgetfulSnapshots) BindContext(ctx context.Context) kvdb.Kvdb {
	return forgetfulSnapshots{sound{kvdb.WithContext(ctx, m.Kvdb)}}
}

func (m forgetfulSnapshots) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	snapshot, index, err := m.Kvdb.Snapshot(prefixes, consistent)
	if err == nil {
		_, _ = snapshot.Delete("dir/_hidden") // it may not have the key
	}
	return snapshot, index, err
}

// earlierSnapshots is a backend whose snapshots are of the state before the call, and have a
// later index.
type earlierSnapshots struct {
	sound
	before *atomic.Pointer[kvdb.Kvdb]
}

func (m earlierSnapshots) BindContext(ctx context.Context) kvdb.Kvdb {
	return earlierSnapshots{sound{kvdb.WithContext(ctx, m.Kvdb)}, m.before}
}

func (m earlierSnapshots) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	snapshot, index, err := m.Kvdb.Snapshot(prefixes, consistent)
	if before := m.before.Swap(&snapshot); before != nil && err == nil {
		snapshot = *before
	}
	return snapshot, index, err
}

type noCompact struct{ sound }

func (m noCompact) Compact(uint64) error { return kvdb.ErrNotSupported }

type noContexts struct{ sound }

func (m noContexts) BindContext(context.Context) kvdb.Kvdb { return m }

// anyEnd reports the end of the caller's context as an outage.
type anyEnd struct {
	sound
	ctx context.Context
}

func (m anyEnd) BindContext(ctx context.Context) kvdb.Kvdb {
	return anyEnd{sound{kvdb.WithContext(ctx, m.Kvdb)}, ctx}
}

func (m anyEnd) Get(key string) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.Get(key)
	if m.ctx != nil && m.ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", kvdb.ErrNoConnection, m.ctx.Err())
	}
	return pair, err
}

// unborn is a backend whose Get cannot read what was never written.
type unborn struct{ sound }

func (m unborn) Get(key string) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.Get(key)
	if errors.Is(err, kvdb.ErrNotFound) {
		err = kvdb.ErrNoConnection
	}
	return pair, err
}

func (m unborn) BindContext(ctx context.Context) kvdb.Kvdb {
	return unborn{sound{kvdb.WithContext(ctx, m.Kvdb)}}
}

// pages is a mutant that changes the options of pages.
type pages struct {
	sound
	change func(*kvdb.PageOptions)
}

func (m pages) EnumeratePagesWith(prefix string, o kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	m.change(&o)
	return m.sound.EnumeratePagesWith(prefix, o)
}

// ttls is a mutant that changes the remaining TTLs.
type ttls struct {
	sound
	change func(remaining time.Duration) (time.Duration, bool)
}

func (m ttls) TTLOf(key string) (time.Duration, bool, error) {
	remaining, has, err := m.sound.TTLOf(key)
	if has {
		remaining, has = m.change(remaining)
	}
	return remaining, has, err
}

func withoutTTLs(pairs kvdb.KVPairs) {
	for _, pair := range pairs {
		pair.TTL = 0
	}
}

type foreverSerialized struct{ sound }

func (m foreverSerialized) Serialize() ([]byte, error) {
	pairs, err := m.Enumerate("")
	if err != nil {
		return nil, err
	}
	withoutTTLs(pairs)
	return json.Marshal(pairs)
}

type foreverSnapshots struct{ sound }

func (m foreverSnapshots) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	snapshot, index, err := m.Kvdb.Snapshot(prefixes, consistent)
	if err != nil {
		return nil, 0, err
	}
	pairs, err := snapshot.Enumerate("")
	withoutTTLs(pairs)
	for _, pair := range pairs {
		_, putErr := snapshot.SnapPut(pair)
		err = errors.Join(err, putErr)
	}
	return snapshot, index, err
}

// limited is a backend that reports limits which it does not have.
type limited struct {
	sound
	change func(*kvdb.Limits)
}

func (m limited) Limits() kvdb.Limits {
	l := kvdb.LimitsOf(m.Kvdb)
	m.change(&l)
	return l
}

// mutants have the names of the cases that must fail. What follows a # in a name is what is
// wrong.
var mutants = map[string]func(sound) kvdb.Kvdb{
	"Reads/SeeEarlierWrites":      func(s sound) kvdb.Kvdb { return staleGet{s, map[string]*kvdb.KVPair{}} },
	"Ownership/PairsReturned":     func(s sound) kvdb.Kvdb { return sharedPairs{s, &sync.Map{}} },
	"Writes/OneCreateWins":        func(s sound) kvdb.Kvdb { return createInTwoSteps{s} },
	"Writes/Conditions":           func(s sound) kvdb.Kvdb { return wrappedErrors{s} },
	"Keys/DeleteTreeIsADirectory": func(s sound) kvdb.Kvdb { return deleteByPrefix{s} },
	"Reads/Sorted":                func(s sound) kvdb.Kvdb { return unsorted{s} },
	"Keys/Hidden":                 func(s sound) kvdb.Kvdb { return keysWithoutHidden{s} },
	"Conditions/CompareAndSet":    func(s sound) kvdb.Kvdb { return setWithoutPrevValue{s} },
	"TTL/Refused":                 func(s sound) kvdb.Kvdb { return noTTL{s} },
	"TTL/Expiry":                  func(s sound) kvdb.Kvdb { return lateLists{s, &sync.Map{}} },
	"Watches/Order":               func(s sound) kvdb.Kvdb { return watches{s, withGaps} },
	"Watches/ManyWatchesAgree":    func(s sound) kvdb.Kvdb { return watches{s, twice} },
	"Watches/Batches":             func(s sound) kvdb.Kvdb { return lossyBatches{s} },
	"Watches/CallbackError":       func(s sound) kvdb.Kvdb { return watches{s, wrappedEnd} },
	"Watches/KeyOrTree":           func(s sound) kvdb.Kvdb { return watches{s, withoutEnd} },
	"Locks/OneHolder":             func(s sound) kvdb.Kvdb { return &sharedLocks{sound: s} },
	"Locks/HandOver":              func(s sound) kvdb.Kvdb { return pollingLocks{s} },
	"Locks/Unlock":                func(s sound) kvdb.Kvdb { return anyUnlock{s} },
	"Snapshots/Content":           func(s sound) kvdb.Kvdb { return earlySnapshots{s} },
	"Cache/OwnWrites":             func(s sound) kvdb.Kvdb { return lateSnapshots{s} },
	"Cache/UnseenWrites":          func(s sound) kvdb.Kvdb { return lossyBatches{s} },
	"Cache/WritesDuringNew":       func(s sound) kvdb.Kvdb { return earlierSnapshots{s, &atomic.Pointer[kvdb.Kvdb]{}} },
	"Cache/InSync":                func(s sound) kvdb.Kvdb { return forgetfulSnapshots{s} },
	"Cache/States":                func(s sound) kvdb.Kvdb { return lossyBatches{s} },
	"Traits/AsDeclared":           func(s sound) kvdb.Kvdb { return noCompact{s} },
	"Contexts/Ended":              func(s sound) kvdb.Kvdb { return noContexts{s} },
	"Helpers/Ping":                func(s sound) kvdb.Kvdb { return unborn{s} },
	"Helpers/PairsWith#hidden":    func(s sound) kvdb.Kvdb { return pages{s, func(o *kvdb.PageOptions) { o.Hidden = false }} },
	"Helpers/PairsWith#values":    func(s sound) kvdb.Kvdb { return pages{s, func(o *kvdb.PageOptions) { o.KeysOnly = false }} },
	"Helpers/PairsWith#from":      func(s sound) kvdb.Kvdb { return pages{s, func(o *kvdb.PageOptions) { o.From = "" }} },
	"Helpers/PairsWithFrom":       func(s sound) kvdb.Kvdb { return pages{s, func(o *kvdb.PageOptions) { o.From += "\x00" }} },
	"TTL/TTLOf#none": func(s sound) kvdb.Kvdb {
		return ttls{s, func(time.Duration) (time.Duration, bool) { return 0, false }}
	},
	"TTL/TTLOf#whole": func(s sound) kvdb.Kvdb {
		return ttls{s, func(remaining time.Duration) (time.Duration, bool) { return remaining.Round(100 * time.Second), true }}
	},
	"Keys/Limits": func(s sound) kvdb.Kvdb {
		return limited{s, func(l *kvdb.Limits) { l.CheckKey = func(key string) (string, error) { return key, nil } }}
	},
	"Keys/Limits#domain": func(s sound) kvdb.Kvdb {
		return limited{s, func(l *kvdb.Limits) { l.Domain = "" }}
	},
	"Keys/Limits#unlisted": func(s sound) kvdb.Kvdb {
		return limited{s, func(l *kvdb.Limits) { l.HiddenUnlisted = true }}
	},
	"Keys/Limits#long": func(s sound) kvdb.Kvdb {
		return limited{s, func(l *kvdb.Limits) { l.MaxKey = 1000 }}
	},
	"Values/Limits": func(s sound) kvdb.Kvdb {
		return limited{s, func(l *kvdb.Limits) { l.MaxValue = 1000 }}
	},
	"Values/Limits#empty": func(s sound) kvdb.Kvdb {
		return limited{s, func(l *kvdb.Limits) { l.NoEmptyValue = true }}
	},
	"TTL/Limits": func(s sound) kvdb.Kvdb {
		return limited{s, func(l *kvdb.Limits) { l.MaxTTL -= time.Second }}
	},
	"Transactions/Limits": func(s sound) kvdb.Kvdb {
		return limited{s, func(l *kvdb.Limits) { l.MaxTxOps = 10 }}
	},
	"Transactions/Limits#bytes": func(s sound) kvdb.Kvdb {
		return limited{s, func(l *kvdb.Limits) { l.MaxTxBytes = 100000 }}
	},
	"Election/OneLeader":           func(s sound) kvdb.Kvdb { return sharedViews{s, &atomic.Int64{}} },
	"Election/Ends":                func(s sound) kvdb.Kvdb { return boundLocks{s, nil} },
	"Election/CloseEndsLeadership": func(s sound) kvdb.Kvdb { return deafLocks{s} },
	"Election/Observe":             func(s sound) kvdb.Kvdb { return silentKeys{s} },
	"TTL/KeptInCopies#serialized":  func(s sound) kvdb.Kvdb { return foreverSerialized{s} },
	"TTL/KeptInCopies#snapshots":   func(s sound) kvdb.Kvdb { return foreverSnapshots{s} },
	"Hooks/Operations":             hooksOf(func(h everyHook) kvdb.Hook { return &operationsTwice{h} }),
	"Hooks/Context":                hooksOf(func(h everyHook) kvdb.Hook { return &noView{h} }),
	"Hooks/Removed":                func(s sound) kvdb.Kvdb { return stickyHooks{s} },
	"Hooks/Transactions":           hooksOf(func(h everyHook) kvdb.Hook { return &noCommits{h} }),
	"Hooks/Locks#outcome":          hooksOf(func(h everyHook) kvdb.Hook { return &lockExists{h} }),
	"Hooks/Locks#lost":             hooksOf(func(h everyHook) kvdb.Hook { return &neverLost{h} }),
	"Hooks/HoldLimit":              hooksOf(func(h everyHook) kvdb.Hook { return &neverTooLong{h} }),
	"Hooks/Deliveries#twice":       hooksOf(func(h everyHook) kvdb.Hook { return &deliveriesTwice{h} }),
	"Hooks/Deliveries#queue":       hooksOf(func(h everyHook) kvdb.Hook { return &fullQueue{h} }),
	"Contexts/EndsInTheMiddle":     func(s sound) kvdb.Kvdb { return anyEnd{s, nil} },
	"":                             func(s sound) kvdb.Kvdb { return s },
}

func init() { maps.Copy(mutants, txMutants) }

const mutantVariable = "KVDB_TEST_MUTANT" // environment variable with a key of mutants

// The suite fails on each mutant, in the case with its name. It runs in another process,
// where it may fail.
func TestMutantsAreFound(t *testing.T) {
	for name := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule, _, _ := strings.Cut(name, "#")
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMutant$/^bare$/"+rule)
			cmd.Env = append(os.Environ(), mutantVariable+"="+name)
			output, err := cmd.CombinedOutput()
			if name == "" {
				require.NoError(t, err, "%s", output)
				return
			}
			require.Error(t, err)
			require.Contains(t, string(output), "--- FAIL: TestMutant/bare/"+rule)
		})
	}
}

func TestMutant(t *testing.T) {
	name, run := os.LookupEnv(mutantVariable)
	if !run {
		t.Skip("runs in the process that TestMutantsAreFound starts")
	}
	test.Conformance(t, test.Harness{
		Name: "mutant",
		Init: func(domain string, endpoints []string, options map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
			kv, err := mem.New(domain, endpoints, options, cb)
			if err != nil {
				return nil, err
			}
			return mutants[name](sound{kv}), nil
		},
		Traits: test.Traits{
			PrivateStore: true, ExistingPair: true, MaxTTL: 100 * 365 * 24 * time.Hour,
			HistoryFirst: true, History: 16384, DeletedValue: true, ChangedKeyAsPrefix: true,
		},
	})
}
