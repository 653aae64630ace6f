package kvdb

import "io"

// Close releases everything that kv holds: its watches end with
// [ErrWatchStopped], its locks are released, its connections and goroutines are
// gone when Close returns. Every later call on kv returns [ErrClosed]. A second
// Close does nothing. Close looks for an io.Closer in the chain of wrappers, so kv
// may be a wrapper that is not one; it does nothing if the backend is not one either.
//
// Close returns within 10 s. It waits for callbacks that are running; if one does
// not return within 5 s, the error says so. If the store cannot be reached, the
// error names the locks that could not be released, which expire. Closing a view
// made by [WithContext] closes the instance and all its views.
func Close(kv Kvdb) error {
	for kv != nil {
		if c, ok := kv.(io.Closer); ok {
			return c.Close()
		}
		kv = kv.WrappedKvdb()
	}
	return nil
}
