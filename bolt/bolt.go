// Package bolt is a durable store in one file of this machine, on
// go.etcd.io/bbolt. A write is on disk when its call returns: kill -9 or a loss
// of power afterwards does not take it back. Pairs, their indexes and their
// TTLs live in the file; locks and the watch history live in the process.
//
// One process at a time owns a file: New in another one fails after 3 s with an
// error that wraps [kvdb.ErrNoConnection]. Instances of one process may share a
// file, also by different paths to it: they see the same pairs, events and locks.
// (Defragment puts a new file in the place of the one at the path. Another hard
// link keeps the old one.)
//
// A write to a file that was deleted, moved or replaced while it was open is an
// error that wraps [kvdb.ErrNoConnection], until it is at its path again.
//
// Concurrent writers share commits: 64 of them write about as fast as the disk
// syncs 32 times as often. Each key written or deleted has an index of its own,
// also when one call changes several at once (DeleteTree, Tx.Commit).
//
// A file of an earlier release of this library, whose records are JSON, is moved
// to the present format when it is opened. Before that it is copied to a file
// with BackupSuffix behind its path, unless there is one; without the room for
// that New fails and changes nothing. The move itself needs no more space, and
// resumes after an interruption. To go back, put the copy in the place of the file.
package bolt

import (
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/internal/eventlog"
	"github.com/portworx/kvdb/internal/settings"
)

// Name of the backend.
const Name = "bolt-kv"

// DefaultPath is the file in the working directory that New opens without the
// option Path.
const DefaultPath = "px.db"

// Names of the options that New takes, besides [kvdb.ReadConsistency] (all reads
// are linearizable here, whichever is asked for).
const (
	// Path is the database file to open. It is created, with mode 0600, when it
	// is not there; its folder must exist.
	Path = "Path"
	// KvSnap is the name that other releases have for Path.
	KvSnap = "KvSnap"
	// KvUseInterface is accepted for programs that also run on mem: values are
	// bytes here all the same. Together with KvSnap it is an error. It is on
	// when the option is there, whatever its value, but for one that
	// strconv.ParseBool reads as false.
	KvUseInterface = "KvUseInterface"
	// KvHistory is the number of past events, at least 1, that a watch can ask
	// for: 16384 by default. Older ones, and those from before the file was
	// opened, are kvdb.ErrWatchRevisionCompacted. The history keeps the values of
	// its events in memory. Of the instances that share a file the first decides.
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

var declared = settings.Declare("bolt", []settings.Option{
	{Name: Path, Values: "a file", Default: "`" + DefaultPath + "`", Meaning: "the database file; a relative path is one in the working directory"},
	{Name: KvSnap, Values: "a file", Default: "none", Meaning: "an older name of `Path`"},
	{Name: KvUseInterface, Values: "a switch", Default: "off", Meaning: "no effect; an error together with `KvSnap`"},
}, eventlog.Declared, settings.Consistency)

func init() {
	if err := kvdb.Register(Name, New, Version); err != nil {
		panic(fmt.Sprintf("register %s: %v", Name, err))
	}
}

// Version returns [kvdb.BoltVersion1].
func Version(string, map[string]string) (string, error) { return kvdb.BoltVersion1, nil }

// New opens the file that the options name. Endpoints are not used; options and
// the callback may be nil. It reads the structure of the whole file to find
// damage before it can do harm: an error that wraps ErrCorrupt.
func New(domain string, _ []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	options = declared.Of(options)
	if _, err := settings.StaleReads(options); err != nil {
		return nil, err
	}
	history, err := eventlog.History(options)
	if err != nil {
		return nil, err
	}
	path, err := pathOption(options)
	if err != nil {
		return nil, err
	}
	db, err := acquire(path, history)
	if err != nil {
		return nil, err
	}
	kv, err := engine.New(engine.Config{
		Name: Name, Domain: domain, Store: newStore(db), FatalCb: fatalErrorCb,
	})
	if err != nil {
		return nil, err
	}
	return kv, nil
}

func pathOption(options map[string]string) (string, error) {
	path, named := options[Path]
	snap, snapNamed := options[KvSnap]
	switch {
	case snapNamed && settings.SwitchedOn(options, KvUseInterface):
		return "", ErrSnapWithInterfaceNotSupported
	case named && path == "":
		return "", fmt.Errorf("option %s: it is empty", Path)
	case snapNamed && snap == "":
		return "", fmt.Errorf("option %s: it is empty", KvSnap)
	case named && snapNamed && path != snap:
		return "", fmt.Errorf("options %s and %s: %q and %q are two files", Path, KvSnap, path, snap)
	case named:
		return path, nil
	case snapNamed:
		return snap, nil
	}
	return DefaultPath, nil
}
