package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrCorrupt is wrapped by the errors about a file that is damaged, cut off or
// no database at all. They name the file and say what is wrong with it.
var ErrCorrupt = errors.New("database file is corrupt")

func corrupt(path string, cause error) error {
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, cause)
}

func unreadable(path string, key []byte, cause error) error {
	return corrupt(path, fmt.Errorf("key %q: %w", key, cause))
}

// fault is the ErrCorrupt of a panic. bbolt may still hold locks after one.
type fault struct{ error }

func (f *fault) Unwrap() error { return f.error }

func isFault(err error) bool {
	var f *fault
	return errors.As(err, &f)
}

// guard calls f, which reads the mapped file. bbolt panics on a page that makes
// no sense, and a file that somebody has cut off faults when it is read: both
// become an error. f must not call code of the library's user.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if reason := recover(); reason != nil {
			cause, ok := reason.(error)
			if !ok {
				cause = fmt.Errorf("%v", reason)
			}
			err = &fault{corrupt(path, cause)}
		}
	}()
	return f()
}
