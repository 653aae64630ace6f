package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/eventlog"
	"github.com/portworx/kvdb/internal/locktable"
)

// Names of the buckets. The index of the last change is the sequence number of the
// bucket of pairs, because that needs no lookup.
var (
	pairsBucket    = []byte("px")
	expiriesBucket = []byte("kvdb-expiry")
	metaBucket     = []byte("kvdb-meta")
)

// errDead is the error of a database that is dead.
var errDead = &fault{errors.New("it could not be read before")}

// boltFile is an open file.
type boltFile struct {
	*bbolt.DB
	raw  *os.File    // the file that bbolt has open
	info fs.FileInfo // identifies raw
	// readers is locked for reading by each transaction that reads, and for writing
	// before the file is closed. bbolt's Close would wait for readers too, but it holds
	// a lock meanwhile that they need to end.
	readers sync.RWMutex
}

// database is an open file and everything that the instances of this process that use
// it share.
type database struct {
	path string // absolute, without symbolic links
	// readOnly means that nothing may write to the file.
	readOnly bool
	shared   *shared
	log      *eventlog.Log
	locks    *locktable.Table

	// file is replaced by Defragment.
	file atomic.Pointer[boltFile]
	// dead means that bbolt panicked at the start of a transaction, and may hold locks
	// that readers need.
	dead atomic.Bool

	lifetime context.Context // ends with cause kvdb.ErrClosed at close
	end      context.CancelCauseFunc

	// writeLock has an element when nobody writes to the file. To take the element is to
	// lock, to put it back is to unlock. It protects the file and the fields up to
	// nextExpiry. It is a channel because waiting for it must end with a context.
	writeLock  chan struct{}
	broken     error                 // bbolt panicked in a write, and may hold locks that writers need
	repair     func() error          // must succeed before the next commit; nil: nothing to repair
	commitTx   func(*bbolt.Tx) error // commits; tests let it fail
	timer      *time.Timer           // of the next expiry; nil before the first TTL
	nextExpiry int64                 // the time of timer in ns of Unix time, 0 for none

	mu   sync.Mutex // protects next and the writes in it
	next *batch     // collects writes until it is committed
}

// close waits for calls that are running, and closes the file.
func (db *database) close() error {
	db.end(kvdb.ErrClosed)
	<-db.writeLock
	if db.timer != nil {
		db.timer.Stop()
	}
	err := db.broken
	if db.dead.Load() {
		err = errDead
	}
	return db.file.Load().closeAfter(err)
}

// closeAfter closes the file. err is an earlier error about it, or nil.
func (f *boltFile) closeAfter(err error) error {
	if isFault(err) {
		return f.raw.Close() // bbolt's Close could wait for ever
	}
	f.readers.Lock()
	return f.Close()
}

// inPlace returns an error if the open file is no longer at its path, because writes to
// it would be lost. If the process has no permission to look, inPlace returns nil.
func (db *database) inPlace() error {
	same, err := isAt(db.file.Load(), db.path)
	switch {
	case same, err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		err = errors.New("another file is there")
	}
	return fmt.Errorf("%w: the file at its path is not the file that is open, which was deleted, moved or replaced: %w",
		kvdb.ErrNoConnection, err)
}

// begin starts a transaction of bbolt.
func (db *database) begin(file *boltFile, writable bool) (tx *bbolt.Tx, err error) {
	if db.dead.Load() {
		return nil, corrupt(db.path, errDead)
	}
	err = guard(db.path, func() error {
		tx, err = file.Begin(writable)
		return err
	})
	if isFault(err) {
		db.dead.Store(true)
	}
	return tx, err
}

// reader is a transaction that sees one moment. It ends with end.
type reader struct {
	*bbolt.Tx
	file *boltFile
}

func (r reader) end() {
	_ = r.Rollback() // only fails for a transaction that is over
	r.file.readers.RUnlock()
}

func (db *database) beginRead() (reader, error) {
	file := db.file.Load()
	for !file.readers.TryRLock() {
		current := db.file.Load()
		if current == file {
			return reader{}, kvdb.ErrClosed
		}
		file = current // it was defragmented meanwhile
	}
	tx, err := db.begin(file, false)
	if err != nil {
		file.readers.RUnlock()
		return reader{}, err
	}
	return reader{tx, file}, nil
}

// view calls read with a transaction that sees one moment.
func (db *database) view(read func(tx *bbolt.Tx) error) error {
	r, err := db.beginRead()
	if err != nil {
		return err
	}
	return db.read(r, read)
}

// read calls read and ends r.
func (db *database) read(r reader, read func(tx *bbolt.Tx) error) error {
	return guard(db.path, func() error {
		defer r.end()
		return read(r.Tx)
	})
}
