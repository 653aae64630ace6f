package kvdb

import "io"

// Close releases everything that kv holds: its watches end with
// ErrWatchStopped, its locks are released, its connections and goroutines are
// gone when Close returns. Every later call on kv is ErrClosed; a second Close
// does nothing. It reaches through wrappers that do not implement io.Closer
// themselves, and does nothing for a backend that does not. (A mock is asked for
// its WrappedKvdb.)
//
// Close waits for callbacks that are running; one that does not return within
// 10 s is reported in the error. Closing a view made by WithContext, or a
// snapshot's origin, closes the instance for everybody.
func Close(kv Kvdb) error {
	for kv != nil {
		if c, ok := kv.(io.Closer); ok {
			return c.Close()
		}
		kv = kv.WrappedKvdb()
	}
	return nil
}
