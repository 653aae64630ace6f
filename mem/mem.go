// Package mem is a store in the memory of this process. Each New is a store of
// its own, which starts empty with index 0: its first write has index 1.
// Endpoints are not used. An instance that nobody uses, watches or holds a lock
// of is garbage, also without Close.
//
// Each key written or deleted has an index of its own, also when one call
// changes several at once (DeleteTree, Tx.Commit): all their events follow each
// other directly, and a watch resumed from any of them misses nothing.
package mem

import (
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/internal/eventlog"
	"github.com/portworx/kvdb/internal/settings"
)

// Name of the backend.
const Name = "kv-mem"

// Names of the options that New takes, besides [kvdb.ReadConsistency] (all reads
// are linearizable here, whichever is asked for).
const (
	// KvSnap makes New return an empty snapshot: it is filled with SnapPut, and
	// other writes and watches are ErrSnap. It is on when the option is
	// there, whatever its value, but for one that strconv.ParseBool reads as
	// false.
	KvSnap = "KvSnap"
	// KvUseInterface keeps the caller's objects, uncopied: select and copy
	// callbacks get the object itself, and must not change it. It is switched on
	// as KvSnap is.
	//
	// A caller who changes an object after he handed it in changes what others
	// see, for reads encode it when they are called: Get, GetVal, Enumerate and
	// the like, Serialize, Snapshot, and the comparison of a value by
	// CompareAndSet and CompareAndDelete. Such a change has no index and no event,
	// and events have the value that was written. An object that cannot be encoded
	// any more is an error of these calls that wraps kvdb.ErrIllegal; Delete, and
	// Create when it is there, return the pair with the value that was written.
	KvUseInterface = "KvUseInterface"
	// KvHistory is the number of past events, at least 1, that a watch can ask
	// for: 16384 by default. Older ones are kvdb.ErrWatchRevisionCompacted. The
	// history keeps the values of its events in memory.
	KvHistory = eventlog.HistoryOption
)

// Errors of snapshots, and of select and copy callbacks.
var (
	// ErrSnap is every write but SnapPut and Delete, and every watch, on a snapshot.
	ErrSnap = driver.ErrSnap
	// ErrSnapWithInterfaceNotSupported is KvSnap together with KvUseInterface.
	ErrSnapWithInterfaceNotSupported = driver.ErrSnapWithInterfaceNotSupported
	// ErrIllegalSelect is a nil callback, or a copy callback that returned nil.
	ErrIllegalSelect = driver.ErrIllegalSelect
)

var declared = settings.Declare("mem", []settings.Option{
	{Name: KvSnap, Values: "a switch", Default: "off", Meaning: "start as an empty snapshot, to be filled with `SnapPut`"},
	{Name: KvUseInterface, Values: "a switch", Default: "off",
		Meaning: "keep the caller's objects, uncopied: reads encode them, select and copy callbacks get them"},
}, eventlog.Declared, settings.Consistency)

func init() {
	if err := kvdb.Register(Name, New, Version); err != nil {
		panic(fmt.Sprintf("register %s: %v", Name, err))
	}
}

// Version returns [kvdb.MemVersion1].
func Version(string, map[string]string) (string, error) { return kvdb.MemVersion1, nil }

// New returns an instance over a store of its own. Endpoints are not used;
// options and the callback may be nil.
func New(domain string, _ []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	options = declared.Of(options)
	history, err := eventlog.History(options)
	if err != nil {
		return nil, err
	}
	if _, err := settings.StaleReads(options); err != nil {
		return nil, err
	}
	cfg := engine.Config{Name: Name, Domain: domain, FatalCb: fatalErrorCb}
	snapshot, objects := settings.SwitchedOn(options, KvSnap), settings.SwitchedOn(options, KvUseInterface)
	switch {
	case snapshot && objects:
		return nil, ErrSnapWithInterfaceNotSupported
	case snapshot:
		return instance(engine.NewSnapshot(cfg, profile))
	case objects:
		cfg.Store = &objectStore{newStore(history)}
	default:
		cfg.Store = newStore(history)
	}
	return instance(engine.New(cfg))
}

// instance keeps a nil *engine.Kvdb from becoming a kvdb.Kvdb that is not nil.
func instance(kv *engine.Kvdb, err error) (kvdb.Kvdb, error) {
	if err != nil {
		return nil, err
	}
	return kv, nil
}
