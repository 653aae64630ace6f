package engine_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/test"
)

// TestMain makes the cases about outages run always, because they take only seconds here.
func TestMain(m *testing.M) {
	if err := flag.Set("kvdb.outages", "true"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// initFor returns a function that opens instances over stores of connect.
func initFor(connect func() driver.Store) kvdb.DatastoreInit {
	return func(domain string, _ []string, options map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		if _, err := driver.StaleReads(options); err != nil {
			return nil, err
		}
		store := connect()
		ctx, cancel := driver.WithTimeLimit(context.Background(), callLimit)
		defer cancel()
		if _, err := store.Get(ctx, "reachable?"); err != nil && err != kvdb.ErrNotFound {
			return nil, err
		}
		return engine.New(engine.Config{Name: "remote", Domain: domain, Store: store, FatalCb: cb})
	}
}

// A store without optional interfaces, behind a network.
func TestConformanceOfAPlainStore(t *testing.T) {
	s := newServer()
	profile := driver.Profile{
		NoTTL: true, NoEmptyValue: true, MaxValue: 1000,
		CheckKey: foldSlashes, CheckPrefix: foldPrefix, OpTimeout: callLimit,
	}
	test.Conformance(t, test.Harness{
		Name:   "plain",
		Server: s,
		Init: initFor(func() driver.Store {
			r := s.connect(profile)
			r.folded, r.lockSharesKey = true, true
			return r
		}),
		Traits: test.Traits{
			FoldedUpdates: true, FoldedSlashes: true, IllegalKeys: []string{"./a", "a/..", "a/../b", "a/./b", "a\x00b"},
			NoTTL: true, NoTTLOf: true, NoEmptyValue: true, MaxValue: 1000,
			SingleKeyTx: true, NoPastDeletions: true, LockSharesKey: true, NoCompact: true, OutageUntold: true,
			CallTimeout: callLimit, WatchTimeout: watchLimit,
		},
	})
}

// A store with transactions, keys in which repeated slashes count as one, and a history
// that can be compacted.
func TestConformanceOfATransactor(t *testing.T) {
	s := newServer()
	profile := driver.Profile{
		MinTTL: 2 * time.Second, MaxTTL: time.Hour, MaxTxOps: 16, TxDeletes: true, OpTimeout: callLimit,
		Capabilities: kvdb.KVCapabilityOrderedUpdates,
	}
	test.Conformance(t, test.Harness{
		Name:   "transactor",
		Server: s,
		Init:   initFor(func() driver.Store { return &transactor{s.connect(profile)} }),
		Traits: test.Traits{
			MinTTL: 2 * time.Second, MaxTTL: time.Hour, TTLUntold: true, MaxTxOps: 16, OutageUntold: true,
			CallTimeout: callLimit, WatchTimeout: watchLimit,
		},
	})
}

// partial is a store that supports only some operations.
type partial struct{ *remote }

func (partial) Lock(context.Context, string, string, time.Duration) (driver.Lease, error) {
	return nil, kvdb.ErrNotSupported
}

func (partial) LockOwner(context.Context, string) (string, bool, error) {
	return "", false, kvdb.ErrNotSupported
}

func (partial) Watch(context.Context, driver.WatchRequest) (driver.Stream, error) {
	return nil, kvdb.ErrNotSupported
}

func (partial) Snapshot(context.Context, []string, bool) (kvdb.KVPairs, uint64, error) {
	return nil, 0, kvdb.ErrNotSupported
}

// A store with neither locks nor watches nor snapshots.
func TestConformanceOfAPartialStore(t *testing.T) {
	s := newServer()
	profile := driver.Profile{NoTTL: true, OpTimeout: callLimit, Capabilities: kvdb.KVCapabilityOrderedUpdates}
	test.Conformance(t, test.Harness{
		Name:   "partial",
		Server: s,
		Bare:   true,
		Init:   initFor(func() driver.Store { return partial{s.connect(profile)} }),
		Traits: test.Traits{
			NoLocks: true, NoWatches: true, NoSnapshots: true,
			NoTTL: true, NoTTLOf: true, SingleKeyTx: true, NoCompact: true, CallTimeout: callLimit, OutageUntold: true,
		},
	})
}
