package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/atomicfile"
)

// registry has the files that are open in this process, so that instances can share
// them.
var registry struct {
	mu    sync.Mutex // protects files, and info and uses of its elements
	files []*shared
}

// shared is a file that is being opened, open or being closed.
type shared struct {
	info fs.FileInfo // identifies the file
	uses int         // the number of instances; 0: the file is being closed

	closed chan struct{} // closed when it is closed

	opened sync.Once // protects the fields below
	db     *database
	err    error
}

// acquire returns the database at path. The caller must call release after use. With readOnly
// the file must exist.
func acquire(path string, history int, readOnly bool) (*database, error) {
	s, err := find(path, readOnly)
	if err != nil {
		return nil, err
	}
	s.opened.Do(func() {
		if readOnly {
			s.db, s.err = openReadOnly(path, history)
		} else {
			s.db, s.err = open(path, history)
		}
		if s.err == nil {
			s.db.shared = s
		}
	})
	err = s.err
	if err == nil && s.db.readOnly && !readOnly {
		err = fmt.Errorf("%w: %s is open read-only in this process", kvdb.ErrNoConnection, path)
	}
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s.db, nil
}

// find returns the entry of the file at path, and counts one more use.
func find(path string, mustExist bool) (*shared, error) {
	for {
		s, inUse, err := lookUp(path, mustExist)
		if err != nil || inUse {
			return s, err
		}
		<-s.closed
	}
}

// lookUp is find without waiting: if the file is being closed, inUse is false. Unless
// mustExist is true, it creates a file that does not exist.
func lookUp(path string, mustExist bool) (s *shared, inUse bool, err error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !mustExist {
		info, err = create(path)
	}
	if err != nil {
		return nil, false, err
	}
	i := slices.IndexFunc(registry.files, func(s *shared) bool { return os.SameFile(s.info, info) })
	if i < 0 {
		s = &shared{info: info, uses: 1, closed: make(chan struct{})}
		registry.files = append(registry.files, s)
		return s, true, nil
	}
	s = registry.files[i]
	if s.uses == 0 {
		return s, false, nil
	}
	s.uses++
	return s, true, nil
}

// create creates an empty file, which bbolt initializes as a new database.
func create(path string) (fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	return info, errors.Join(err, file.Close(), atomicfile.SyncFolder(path))
}

// release ends one use, and closes the file after the last one.
func (s *shared) release() (err error) {
	registry.mu.Lock()
	s.uses--
	last := s.uses == 0
	registry.mu.Unlock()
	if !last {
		return nil
	}
	if s.db != nil {
		err = s.db.close()
	}
	registry.mu.Lock()
	defer registry.mu.Unlock()
	registry.files = slices.DeleteFunc(registry.files, func(other *shared) bool { return other == s })
	close(s.closed)
	return err
}

// replace renames the file from to path, where it replaces the open one. lookUp sees no
// state in between.
func (s *shared) replace(from, path string) error {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.Rename(from, path); err != nil {
		return err
	}
	s.info = info
	return nil
}
