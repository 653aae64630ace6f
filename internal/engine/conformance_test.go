package engine_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
	"github.com/portworx/kvdb/internal/engine"
	"github.com/portworx/kvdb/internal/settings"
	"github.com/portworx/kvdb/test"
)

// The cases about outages take seconds here, and so they always run.
func TestMain(m *testing.M) {
	if err := flag.Set("kvdb.outages", "true"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// initFor opens instances over stores that connect makes.
func initFor(connect func() driver.Store) kvdb.DatastoreInit {
	return func(domain string, _ []string, options map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		if _, err := settings.StaleReads(options); err != nil {
			return nil, err
		}
		store := connect()
		ctx, cancel := driver.WithTimeLimit(context.Background(), callLimit)
		defer cancel()
		if _, _, err := store.LockOwner(ctx, "reachable?"); err != nil {
			return nil, err
		}
		return engine.New(engine.Config{Name: "remote", Domain: domain, Store: store, FatalCb: cb})
	}
}

// A store that can do little, behind a network.
func TestConformanceOfAPlainStore(t *testing.T) {
	s := newServer()
	limits := driver.Limits{
		NoTTL: true, NoEmptyValue: true, MaxValue: 1000,
		CheckKey: foldSlashes, CheckPrefix: foldPrefix, OpTimeout: callLimit,
	}
	test.Conformance(t, test.Harness{
		Name:   "plain",
		Server: s,
		Init: initFor(func() driver.Store {
			r := s.connect(limits)
			r.folded, r.lockSharesKey = true, true
			return r
		}),
		Traits: test.Traits{
			FoldedUpdates: true, FoldedSlashes: true, IllegalKeys: []string{"./a", "a/..", "a/../b", "a/./b", "a\x00b"},
			NoTTL: true, NoEmptyValue: true, MaxValue: 1000,
			SingleKeyTx: true, NoPastDeletions: true, LockSharesKey: true, NoCompact: true,
			CallTimeout: callLimit, WatchTimeout: watchLimit,
		},
	})
}

// One that can do more, in ways of its own.
func TestConformanceOfATransactor(t *testing.T) {
	s := newServer()
	limits := driver.Limits{
		MinTTL: 2 * time.Second, MaxTTL: time.Hour, MaxTxOps: 16, OpTimeout: callLimit,
		Capabilities: kvdb.KVCapabilityOrderedUpdates,
	}
	test.Conformance(t, test.Harness{
		Name:   "transactor",
		Server: s,
		Init:   initFor(func() driver.Store { return &transactor{s.connect(limits)} }),
		Traits: test.Traits{
			MinTTL: 2 * time.Second, MaxTTL: time.Hour, TTLUntold: true, MaxTxOps: 16,
			CallTimeout: callLimit, WatchTimeout: watchLimit,
		},
	})
}
