package bolt

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// registry has the files that are open in this process: two instances on one
// file share it.
var registry struct {
	mu    sync.Mutex // protects what is below
	files []*shared
}

// shared is a file that is open or being opened.
type shared struct {
	info fs.FileInfo // which file it is; protected by the registry's mutex
	uses int         // protected by the registry's mutex

	opened sync.Once // protects what is below
	db     *database
	err    error
}

// acquire returns the database at path; release gives it back.
func acquire(path string, history int) (*database, error) {
	s, err := find(path)
	if err != nil {
		return nil, err
	}
	s.opened.Do(func() {
		if s.db, s.err = open(path, history); s.err == nil {
			s.db.shared = s
		}
	})
	if s.err != nil {
		return nil, errors.Join(s.err, s.release())
	}
	return s.db, nil
}

// find returns the entry of the file at path, with one use more. It makes the
// file if there is none.
func find(path string) (*shared, error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = create(path)
	}
	if err != nil {
		return nil, err
	}
	for _, s := range registry.files {
		if os.SameFile(s.info, info) {
			s.uses++
			return s, nil
		}
	}
	s := &shared{info: info, uses: 1}
	registry.files = append(registry.files, s)
	return s, nil
}

// create makes an empty file, which bbolt takes for a new database.
func create(path string) (fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	return info, errors.Join(err, file.Close())
}

// release ends one use, and closes the file after the last.
func (s *shared) release() error {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if s.uses--; s.uses > 0 {
		return nil
	}
	registry.files = slices.DeleteFunc(registry.files, func(other *shared) bool { return other == s })
	if s.db == nil {
		return nil
	}
	// Nobody can open the file again before it is closed.
	return s.db.close()
}

// replace puts the file at path from in the place of the one that is open, as
// far as other users of the registry can see in one step.
func (s *shared) replace(from, to string) error {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	s.info = info
	return nil
}
