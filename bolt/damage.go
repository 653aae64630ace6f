package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrCorrupt is wrapped by the error for a file that is damaged, cut off or not a
// database. The error names the file and says what is wrong with it.
var ErrCorrupt = errors.New("database file is corrupt")

func corrupt(path string, cause error) error {
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, cause)
}

func unreadable(path string, key []byte, cause error) error {
	return corrupt(path, fmt.Errorf("key %q: %w", key, cause))
}

// fault is the ErrCorrupt that a panic became. bbolt may still hold locks after a panic.
type fault struct{ error }

func (f *fault) Unwrap() error { return f.error }

func isFault(err error) bool {
	var f *fault
	return errors.As(err, &f)
}

// guard calls f, which reads the mapped file, and turns panics into errors: bbolt panics
// on a page that it cannot interpret, and a read behind the end of a file that was cut
// off faults. f must not call code of the library's user.
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
