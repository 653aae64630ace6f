package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/eventlog"
	"github.com/portworx/kvdb/internal/locktable"
)

const (
	// openTimeout is how long New waits for another process to close the file.
	openTimeout = 3 * time.Second
	fileMode    = 0o600
	// compactSuffix is added to the path of the file for the copy that Defragment writes.
	// A file that has this name already is deleted.
	compactSuffix = ".kvdb-defragment"
)

// mapSize returns the size of the address space to map for the file. bbolt cannot enlarge
// the map while somebody reads, so if this is enough, readers do not delay writers.
func mapSize() int {
	if strconv.IntSize < 64 || runtime.GOOS == "windows" { // Windows makes the file that large
		return 0
	}
	return 16 << 30
}

// open opens the file at path, which exists, and migrates it if necessary.
func open(path string, history int) (*database, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	file, err := openChecked(path)
	if err != nil {
		return nil, err
	}
	db, err := load(path, file, history)
	if err != nil {
		return nil, errors.Join(err, file.closeAfter(err))
	}
	return db, nil
}

// resolve returns the absolute path without symbolic links.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// openChecked checks the file at path and opens it.
func openChecked(path string) (*boltFile, error) {
	deadline := time.Now().Add(openTimeout)
	for {
		if err := checkAt(path, deadline); err != nil {
			return nil, err
		}
		file, err := openFile(path, bbolt.Options{Timeout: time.Until(deadline), InitialMmapSize: mapSize()})
		if err != nil {
			return nil, err
		}
		same, err := isAt(file, path)
		if same {
			return file, nil
		}
		// Another process has replaced the file while this one waited for it.
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
}

func isAt(file *boltFile, path string) (bool, error) {
	at, err := os.Stat(path)
	return err == nil && os.SameFile(at, file.info), err
}

// checkAt checks the file at path. An empty file is valid.
func checkAt(path string, deadline time.Time) error {
	size, err := regular(path)
	if err != nil || size == 0 {
		return err
	}
	file, err := openFile(path, bbolt.Options{Timeout: time.Until(deadline), ReadOnly: true})
	if err != nil {
		return err
	}
	err = guard(path, func() error { return check(file) })
	return errors.Join(err, file.closeAfter(err))
}

// regular returns the size of the file at path, or an error if it is not a regular file.
func regular(path string) (int64, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open database file %s: it is not a regular file: %v", path, info.Mode())
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// openFile opens the file at path. It adds the options that are the same for all files.
func openFile(path string, options bbolt.Options) (file *boltFile, err error) {
	file = &boltFile{}
	options.Timeout = max(options.Timeout, time.Millisecond) // 0 waits for ever
	options.FreelistType = bbolt.FreelistMapType
	options.NoStatistics = true // their mutex slows down readers
	options.OpenFile = func(path string, flag int, mode os.FileMode) (*os.File, error) {
		if file.raw, err = os.OpenFile(path, flag, mode); err != nil {
			return nil, err
		}
		file.info, err = file.raw.Stat()
		return file.raw, err
	}
	err = guard(path, func() error {
		file.DB, err = bbolt.Open(path, fileMode, &options)
		if errors.Is(err, syscall.ENOMEM) && options.InitialMmapSize > 0 { // map only the file
			options.InitialMmapSize = 0
			file.DB, err = bbolt.Open(path, fileMode, &options)
		}
		return err
	})
	var system syscall.Errno
	switch {
	case err == nil:
		file.AllocSize = minGrowth
		return file, nil
	case isFault(err):
		return nil, errors.Join(err, file.raw.Close())
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s is in use by another process", kvdb.ErrNoConnection, path)
	case errors.As(err, &system):
		return nil, fmt.Errorf("open database file %s: %w", path, err)
	}
	return nil, corrupt(path, err)
}

// load makes a database of an open file.
func load(path string, file *boltFile, history int) (*database, error) {
	index, err := prepare(path, file)
	if err != nil {
		return nil, err
	}
	// These exist if Defragment, or the copy before a migration, was interrupted.
	if err := errors.Join(remove(path+compactSuffix), remove(path+BackupSuffix+partSuffix)); err != nil {
		return nil, err
	}
	db := newDatabase(path, file, history, index)
	for more := true; more; {
		if more, err = db.deleteExpired(); err != nil {
			db.end(err)
			return nil, err
		}
	}
	return db, nil
}

func newDatabase(path string, file *boltFile, history int, index uint64) *database {
	db := &database{
		path:      path,
		log:       eventlog.New(history, index),
		locks:     locktable.New(),
		writeLock: make(chan struct{}, 1),
		commitTx:  (*bbolt.Tx).Commit,
	}
	db.writeLock <- struct{}{}
	db.file.Store(file)
	db.lifetime, db.end = context.WithCancelCause(context.Background())
	return db
}
