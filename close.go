package kvdb

import "io"

// Close releases everything that kv holds: its watches end with
// [ErrWatchStopped], its locks are released, its connections and goroutines are
// gone when Close returns. Every later call on kv is [ErrClosed]; a second Close
// does nothing. It reaches through wrappers that do not implement io.Closer
// themselves, and does nothing for a backend that does not. (A mock is asked for
// its WrappedKvdb.)
//
// Close returns within 10 s. It waits for callbacks that are running, and reports
// one that does not return within 5 s in the error; it tries to release locks
// while their store cannot be reached, and names in the error those that it had
// to leave to expire. Closing a view made by [WithContext], or a
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
