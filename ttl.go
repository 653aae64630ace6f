package kvdb

import "time"

// TTLReader is implemented by a [Kvdb] that can return the remaining TTL of a key. All
// backends and wrappers of this module implement it.
type TTLReader interface {
	// TTLOf is the same as the function TTLOf for this Kvdb.
	TTLOf(key string) (remaining time.Duration, has bool, err error)
}

// TTLOf returns the time after which the pair at key expires, and whether it expires at all.
// If there is no pair, the error is [ErrNotFound].
//
// The time is exact in memory and on bolt. On etcd it is in seconds, rounded up. On Consul it
// is the maximum: the whole TTL, because Consul does not report how much of it is over.
// ZooKeeper has no TTLs, so the error is [ErrNotSupported]. It is the same for a [Kvdb] that
// is not a [TTLReader], such as a mock. In a snapshot, the time is that at which the snapshot
// was taken.
//
// TTLOf takes one request, and one more on etcd v3 and Consul if the key expires.
func TTLOf(kv Kvdb, key string) (remaining time.Duration, has bool, err error) {
	if r, ok := kv.(TTLReader); ok {
		return r.TTLOf(key)
	}
	return 0, false, ErrNotSupported
}
