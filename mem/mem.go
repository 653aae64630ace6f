// Package mem is a store in the memory of this process. Each New makes a store of
// its own, which starts empty with index 0: its first write has index 1.
// Endpoints are not used. An instance without references, watches and locks is
// garbage even without Close.
//
// Each key that is written or deleted has an index of its own, also when one call
// changes several keys (DeleteTree, Tx.Commit). Their events follow each other
// directly, so a watch resumed from any of them gets all the others.
package mem

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/internal/eventlog"
	"github.com/portworx/kvdb/internal/option"
)

// Name of the backend.
const Name = "kv-mem"

// Names of the options that New takes, besides [kvdb.ReadConsistency]. (All reads are
// linearizable here, whatever its value.)
const (
	// KvSnap makes New return an empty snapshot. SnapPut fills it; other writes and
	// watches return ErrSnap. The option is on with any value that strconv.ParseBool
	// does not read as false.
	KvSnap = "KvSnap"
	// KvUseInterface keeps the caller's objects without copying them. Select and copy
	// callbacks get the object itself, and must not change it. The option is on with
	// the same values as KvSnap.
	//
	// If the caller changes an object afterwards, other callers see the change, because
	// reads encode the object when they are called. So do Get, GetVal, Enumerate and its
	// variants, Serialize, Snapshot, and CompareAndSet and CompareAndDelete to compare a
	// value. Such a change has no index and no event; events have the value that was
	// written. If the object cannot be encoded any more, these calls return an error
	// that wraps kvdb.ErrIllegal. Delete, and Create of a key that exists, return the
	// pair with the value that was written.
	KvUseInterface = "KvUseInterface"
	// KvHistory is the number of past events, at least 1, that a watch can ask for. The
	// default is 16384. A watch from before them ends with
	// kvdb.ErrWatchRevisionCompacted. The history keeps the values in memory.
	KvHistory = eventlog.HistoryOption
)

// Errors of snapshots, and of select and copy callbacks.
var (
	// ErrSnap is returned on a snapshot by every watch and by every write except SnapPut
	// and Delete.
	ErrSnap = driver.ErrSnap
	// ErrSnapWithInterfaceNotSupported means that KvSnap and KvUseInterface are both on.
	ErrSnapWithInterfaceNotSupported = driver.ErrSnapWithInterfaceNotSupported
	// ErrIllegalSelect means that a callback is nil, or that a copy callback returned
	// nil.
	ErrIllegalSelect = driver.ErrIllegalSelect
)

var declared = option.Declare("mem", []option.Option{
	{Name: KvSnap, Values: "a switch", Default: "off", Meaning: "start as an empty snapshot, to be filled with `SnapPut`"},
	{Name: KvUseInterface, Values: "a switch", Default: "off",
		Meaning: "keep the caller's objects, uncopied: reads encode them, select and copy callbacks get them"},
}, eventlog.Declared, option.Consistency)

func init() {
	driver.Register(driver.Backend{Name: Name, New: New, Version: Version, Options: declared.Names()})
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
	if _, err := driver.StaleReads(options); err != nil {
		return nil, err
	}
	cfg := engine.Config{Name: Name, Domain: domain, FatalCb: fatalErrorCb}
	snapshot, objects := option.SwitchedOn(options, KvSnap), option.SwitchedOn(options, KvUseInterface)
	switch {
	case snapshot && objects:
		return nil, ErrSnapWithInterfaceNotSupported
	case objects:
		cfg.Store = &objectStore{newStore(history)}
	default:
		cfg.Store = newStore(history)
	}
	kv, err := engine.New(cfg)
	if err != nil || !snapshot {
		return kv, err
	}
	empty, _, err := kv.Snapshot(nil, false)
	return empty, err
}
