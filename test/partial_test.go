package test_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test"
)

// partial is a store that refuses the calls of the parts that lacks declares.
type partial struct {
	kvdb.Kvdb
	lacks test.Traits
	// err is the error of a refused call.
	err error
}

func (p partial) Close() error { return kvdb.Close(p.Kvdb) }

func (p partial) BindContext(ctx context.Context) kvdb.Kvdb {
	p.Kvdb = kvdb.WithContext(ctx, p.Kvdb)
	return &p
}

func (p partial) Lock(key string) (*kvdb.KVPair, error) {
	if p.lacks.NoLocks {
		return nil, p.err
	}
	return p.Kvdb.Lock(key)
}

func (p partial) LockWithID(key, owner string) (*kvdb.KVPair, error) {
	if p.lacks.NoLocks {
		return nil, p.err
	}
	return p.Kvdb.LockWithID(key, owner)
}

func (p partial) LockWithTimeout(key, owner string, try, hold time.Duration) (*kvdb.KVPair, error) {
	if p.lacks.NoLocks {
		return nil, p.err
	}
	return p.Kvdb.LockWithTimeout(key, owner, try, hold)
}

func (p partial) Unlock(pair *kvdb.KVPair) error {
	if p.lacks.NoLocks {
		return p.err
	}
	return p.Kvdb.Unlock(pair)
}

func (p partial) IsKeyLocked(key string) (bool, string, error) {
	if p.lacks.NoLocks {
		return false, "", p.err
	}
	return p.Kvdb.IsKeyLocked(key)
}

func (p partial) WatchKey(key string, waitIndex uint64, opaque interface{}, cb kvdb.WatchCB) error {
	if p.lacks.NoWatches {
		return p.err
	}
	return p.Kvdb.WatchKey(key, waitIndex, opaque, cb)
}

func (p partial) WatchTree(prefix string, waitIndex uint64, opaque interface{}, cb kvdb.WatchCB) error {
	if p.lacks.NoWatches {
		return p.err
	}
	return p.Kvdb.WatchTree(prefix, waitIndex, opaque, cb)
}

func (p partial) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	if p.lacks.NoSnapshots {
		return nil, 0, p.err
	}
	return p.Kvdb.Snapshot(prefixes, consistent)
}

func (p partial) TxNew() (kvdb.Tx, error) {
	if p.lacks.NoTx {
		return nil, p.err
	}
	tx, err := p.Kvdb.TxNew()
	if err == nil && (p.lacks.NoLocks || p.lacks.NoTxDelete) {
		return partialTx{tx, p}, nil
	}
	return tx, err
}

// WrappedKvdb leads to the hooks of the store.
func (p partial) WrappedKvdb() kvdb.Kvdb {
	if p.lacks.NoHooks {
		return nil
	}
	return p.Kvdb
}

func (p partial) TTLOf(key string) (time.Duration, bool, error) {
	if p.lacks.NoTTLOf {
		return 0, false, p.err
	}
	return kvdb.TTLOf(p.Kvdb, key)
}

func (p partial) EnumeratePagesWith(prefix string, o kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	if p.lacks.NoPageOptions && (o.Hidden || o.TTL) {
		return func(yield func(*kvdb.KVPair, error) bool) { yield(nil, p.err) }
	}
	return kvdb.PairsWith(p.Kvdb, prefix, o)
}

// partialTx is a transaction of a partial store.
type partialTx struct {
	kvdb.Tx
	store partial
}

func (t partialTx) Guard(lock *kvdb.KVPair) error {
	if t.store.lacks.NoLocks {
		return t.store.err
	}
	return kvdb.TxGuard(t.Tx, lock)
}

func (t partialTx) Delete(key string) error {
	if t.store.lacks.NoTxDelete {
		return t.store.err
	}
	return kvdb.TxDelete(t.Tx, key)
}

// conform runs the suite on a partial store that is declared with traits.
func conform(t *testing.T, name string, p partial, declared test.Traits) {
	declared.PrivateStore, declared.ExistingPair, declared.MaxTTL = true, true, 100*365*24*time.Hour
	if !declared.NoWatches {
		declared.HistoryFirst, declared.History, declared.DeletedValue, declared.ChangedKeyAsPrefix = true, 1000, true, true
	}
	test.Conformance(t, test.Harness{
		Name: name, Bare: true, Traits: declared, Options: map[string]string{mem.KvHistory: "1000"},
		Init: func(domain string, endpoints []string, options map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
			kv, err := mem.New(domain, endpoints, options, cb)
			if err != nil {
				return nil, err
			}
			instance := p
			instance.Kvdb = kv
			return &instance, nil
		},
	})
}

// A store without locks, watches, snapshots or transactions passes if it declares that. The
// test tries stores without each part, without all, and with only one.
func TestPartialStores(t *testing.T) {
	for _, lacks := range []test.Traits{
		{NoLocks: true}, {NoWatches: true}, {NoSnapshots: true}, {NoTx: true}, {NoTTLOf: true}, {NoPageOptions: true}, {NoHooks: true},
		{NoTxDelete: true}, {NoTxDelete: true, NoLocks: true},
		{NoWatches: true, NoSnapshots: true, NoTx: true},
		{NoLocks: true, NoSnapshots: true, NoTx: true},
		{NoLocks: true, NoWatches: true, NoTx: true},
		{NoLocks: true, NoWatches: true, NoSnapshots: true},
		{NoLocks: true, NoWatches: true, NoSnapshots: true, NoTx: true, NoTTLOf: true, NoPageOptions: true, NoHooks: true},
	} {
		t.Run(strings.Join(partsOf(lacks), ","), func(t *testing.T) {
			conform(t, "partial", partial{lacks: lacks, err: kvdb.ErrNotSupported}, lacks)
		})
	}
}

// partsOf returns the names of the fields that are set.
func partsOf(lacks test.Traits) (names []string) {
	v := reflect.ValueOf(lacks)
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Bool && v.Field(i).Bool() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

const partialVariable = "KVDB_TEST_PARTIAL" // environment variable with a key of partials

// partials are stores that differ from their traits. The suite fails in the named case,
// with a message that says what to declare.
var partials = map[string]struct {
	store      partial
	declared   test.Traits
	fails, say string
}{
	"locks missing": {partial{lacks: test.Traits{NoLocks: true}, err: kvdb.ErrNotSupported}, test.Traits{},
		"Traits/AsDeclared", "Traits.NoLocks is false, and the store was found to have true: declare that"},
	"watches missing": {partial{lacks: test.Traits{NoWatches: true}, err: kvdb.ErrNotSupported}, test.Traits{},
		"Traits/AsDeclared", "Traits.NoWatches is false, and the store was found to have true: declare that"},
	"snapshots missing": {partial{lacks: test.Traits{NoSnapshots: true}, err: kvdb.ErrNotSupported}, test.Traits{},
		"Traits/AsDeclared", "Traits.NoSnapshots is false, and the store was found to have true: declare that"},
	"transactions missing": {partial{lacks: test.Traits{NoTx: true}, err: kvdb.ErrNotSupported}, test.Traits{},
		"Traits/AsDeclared", "Traits.NoTx is false, and the store was found to have true: declare that"},
	"deletions in transactions missing": {partial{lacks: test.Traits{NoTxDelete: true}, err: kvdb.ErrNotSupported}, test.Traits{},
		"Traits/AsDeclared", "Traits.NoTxDelete is false, and the store was found to have true: declare that"},
	"deletions in transactions there": {partial{}, test.Traits{NoTxDelete: true},
		"TxDelete/Missing", "Traits.NoTxDelete says that the store has no deletions in transactions"},
	"a case says what to declare": {partial{lacks: test.Traits{NoWatches: true}, err: kvdb.ErrNotSupported}, test.Traits{},
		"Watches/Events", "declare in Harness.Traits what the store does not have"},
	"remaining TTLs missing": {partial{lacks: test.Traits{NoTTLOf: true}, err: kvdb.ErrNotSupported}, test.Traits{},
		"Traits/AsDeclared", "Traits.NoTTLOf is false, and the store was found to have true: declare that"},
	"options of pages missing": {partial{lacks: test.Traits{NoPageOptions: true}, err: kvdb.ErrNotSupported}, test.Traits{},
		"Traits/AsDeclared", "Traits.NoPageOptions is false, and the store was found to have true: declare that"},
	"remaining TTLs there": {partial{}, test.Traits{NoTTLOf: true},
		"TTL/TTLOf", "Traits.NoTTLOf says that the store has no remaining TTLs"},
	"options of pages there": {partial{}, test.Traits{NoPageOptions: true},
		"Helpers/PairsWith", "Traits.NoPageOptions says that the store has no options of pages"},
	"hooks missing": {partial{lacks: test.Traits{NoHooks: true}, err: kvdb.ErrNotSupported}, test.Traits{},
		"Traits/AsDeclared", "Traits.NoHooks is false, and the store was found to have true: declare that"},
	"hooks there": {partial{}, test.Traits{NoHooks: true},
		"Hooks/Operations", "Traits.NoHooks says that the store has no hooks"},
	"locks there": {partial{}, test.Traits{NoLocks: true},
		"Traits/AsDeclared", "Traits.NoLocks is true, and the store was found to have false: declare that"},
	"locks there, in a case": {partial{}, test.Traits{NoLocks: true},
		"Locks/OneHolder", "Traits.NoLocks says that the store has no locks"},
	"locks as a means": {partial{}, test.Traits{NoLocks: true},
		"Close/OthersLiveOn", "Traits.NoLocks says that the store has no locks"},
	"watches there": {partial{}, test.Traits{NoWatches: true},
		"Watches/Order", "Traits.NoWatches says that the store has no watches"},
	"snapshots there": {partial{}, test.Traits{NoSnapshots: true},
		"Snapshots/Content", "Traits.NoSnapshots says that the store has no snapshots"},
	"transactions there": {partial{}, test.Traits{NoTx: true},
		"Transactions/Commit", "Traits.NoTx says that the store has no transactions"},
	"another error": {partial{lacks: test.Traits{NoLocks: true}, err: fmt.Errorf("locks: %w", kvdb.ErrNotSupported)},
		test.Traits{NoLocks: true}, "Locks/Pair", "must return kvdb.ErrNotSupported itself"},
}

// For a store that differs from its traits, the message of the suite says what to declare.
// The suite runs in another process, where it may fail.
func TestPartialStoresMustBeDeclared(t *testing.T) {
	for name, p := range partials {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPartial$/^bare$/"+p.fails)
			cmd.Env = append(os.Environ(), partialVariable+"="+name)
			output, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(output), "--- FAIL: TestPartial/bare/"+p.fails)
			require.Contains(t, strings.Join(strings.Fields(string(output)), " "), p.say)
			require.NotContains(t, string(output), "a watch ", "the message must be about the traits, not about a watch")
			require.NotContains(t, string(output), "panic")
		})
	}
}

func TestPartial(t *testing.T) {
	p, run := partials[os.Getenv(partialVariable)]
	if !run {
		t.Skip("runs in the process that TestPartialStoresMustBeDeclared starts")
	}
	conform(t, "partial", p.store, p.declared)
}
