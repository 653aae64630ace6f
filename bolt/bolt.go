// Package bolt is a durable store in one file on this machine, based on
// go.etcd.io/bbolt. A write is on disk when its call returns, so it survives kill -9
// and a loss of power. Pairs, their indexes and their TTLs are in the file; locks and
// the watch history are in the process.
//
// One process at a time owns a file: New in another process fails after 3 s with an
// error that wraps [kvdb.ErrNoConnection]. Instances of one process can share a file,
// even by different paths to it: they see the same pairs, events and locks.
// (Defragment replaces the file at the path. Another hard link keeps the old file.)
//
// If the file is deleted, moved or replaced while it is open, writes return an error
// that wraps [kvdb.ErrNoConnection] until it is at its path again.
//
// With the option ReadOnly a file is read and not changed. Check finds what is wrong with a
// damaged file.
//
// Concurrent writers share commits: 64 writers make about 32 writes for each sync of
// the disk. Each key that is written or deleted has an index of its own, also when one
// call changes several keys (DeleteTree, Tx.Commit).
//
// A file of an earlier release of this library, whose records are JSON, is migrated
// to the present format when it is opened. Before that it is copied to a file with
// BackupSuffix behind its path, unless that exists. If there is no space for the copy,
// New fails and changes nothing. The migration itself needs no more space, and resumes
// after an interruption. To go back, put the copy in the place of the file.
package bolt

import (
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
	"github.com/portworx/kvdb/internal/eventlog"
	"github.com/portworx/kvdb/internal/option"
)

// Name of the backend.
const Name = "bolt-kv"

// DefaultPath is the file in the working directory that New opens without the
// option Path.
const DefaultPath = "px.db"

// Names of the options that New takes, besides [kvdb.ReadConsistency]. (All reads are
// linearizable here, whatever its value.)
const (
	// Path is the database file. If it does not exist, it is created with mode 0600;
	// its folder must exist.
	Path = "Path"
	// KvSnap is the name of Path in earlier releases.
	KvSnap = "KvSnap"
	// KvUseInterface has no effect. It is accepted because programs that also run on
	// mem set it. Together with KvSnap it is an error. The option is on with any value
	// that strconv.ParseBool does not read as false.
	KvUseInterface = "KvUseInterface"
	// ReadOnly opens a file, which must exist, without changing it: its value is a boolean. The
	// process needs no permission to write. Several processes can read a file at the same
	// time, but while one of them has it open, another that writes does not, and the other
	// way round: New waits 3 s for it and fails then with an error that wraps
	// kvdb.ErrNoConnection. Within one process an instance that is read-only can join others.
	// Calls that write, and those that lock, return ErrReadOnly.
	ReadOnly = "ReadOnly"
	// KvHistory is the number of past events, at least 1, that a watch can ask for. The
	// default is 16384. A watch from before them, or from before the file was opened,
	// ends with kvdb.ErrWatchRevisionCompacted. The history keeps the values in memory.
	// If several instances share a file, the option of the first one counts.
	KvHistory = eventlog.HistoryOption
)

// Errors of snapshots, and of select and copy callbacks.
var (
	// ErrSnap is returned on a snapshot by every watch and by every write except SnapPut
	// and Delete.
	ErrSnap = driver.ErrSnap
	// ErrSnapWithInterfaceNotSupported means that KvSnap is set and KvUseInterface is on.
	ErrSnapWithInterfaceNotSupported = driver.ErrSnapWithInterfaceNotSupported
	// ErrIllegalSelect means that a callback is nil, or that a copy callback returned
	// nil.
	ErrIllegalSelect = driver.ErrIllegalSelect
)

var declared = option.Declare("bolt", []option.Option{
	{Name: Path, Values: "a file", Default: "`" + DefaultPath + "`", Meaning: "the database file; a relative path is one in the working directory"},
	{Name: KvSnap, Values: "a file", Default: "none", Meaning: "an older name of `Path`"},
	{Name: ReadOnly, Values: "a boolean", Default: "`false`", Meaning: "`true` opens an existing file without changing it"},
	{Name: KvUseInterface, Values: "a switch", Default: "off", Meaning: "no effect; an error together with `KvSnap`"},
}, eventlog.Declared, option.Consistency)

func init() {
	driver.Register(driver.Backend{Name: Name, New: New, Version: Version, Options: declared.Names()})
}

// Version returns [kvdb.BoltVersion1].
func Version(string, map[string]string) (string, error) { return kvdb.BoltVersion1, nil }

// New opens the file that the options name. Endpoints are not used; options and the
// callback may be nil. New checks the structure of the whole file. If the file is
// damaged, it returns an error that wraps ErrCorrupt.
func New(domain string, _ []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	options = declared.Of(options)
	if _, err := driver.StaleReads(options); err != nil {
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
	readOnly, err := option.Bool(options, ReadOnly)
	if err != nil {
		return nil, err
	}
	db, err := acquire(path, history, readOnly)
	if err != nil {
		return nil, err
	}
	s := newStore(db)
	s.readOnly = readOnly
	return engine.New(engine.Config{Name: Name, Domain: domain, Store: s, FatalCb: fatalErrorCb})
}

func pathOption(options map[string]string) (string, error) {
	path, named := options[Path]
	snap, snapNamed := options[KvSnap]
	switch {
	case snapNamed && option.SwitchedOn(options, KvUseInterface):
		return "", ErrSnapWithInterfaceNotSupported
	case named && path == "":
		return "", fmt.Errorf("option %s: it is empty", Path)
	case snapNamed && snap == "":
		return "", fmt.Errorf("option %s: it is empty", KvSnap)
	case named && snapNamed && path != snap:
		return "", fmt.Errorf("options %s and %s must name the same file, not %q and %q", Path, KvSnap, path, snap)
	case named:
		return path, nil
	case snapNamed:
		return snap, nil
	}
	return DefaultPath, nil
}
