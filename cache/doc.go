// Package cache keeps a replica of the keys with a prefix in memory. Reads cost no request
// and do not block, and a watch keeps the replica up to date.
//
// [New] returns a [Cache] that is in sync with the store. Its [Cache.Get] and [Cache.Range]
// read the latest state. A [View] is a state that does not change, for several reads that
// belong together. [Of] decodes the values. [Cache.Subscribe] yields the changes,
// [Cache.WaitFor] waits for the program's own writes, and [Cache.Synced] is for health checks.
//
// # What a cache shows
//
// Each state is one that the store had, on etcd v3, etcd v2 and Consul, also while the store
// fails and comes back. On mem and bolt each key of a transaction has an index of its own, so
// the writes of a transaction may appear one after the other. ZooKeeper cannot read several
// keys at one moment cheaply, so there a key's value is one that the key had, and states
// between may combine values of different moments. On all stores a key never goes back to an
// earlier value, and the cache catches up with the store.
//
// If the watch ends, because the store could not be reached for 50 s or because its history
// is gone, the cache starts another one, compares itself with the store, and reports the
// differences as changes: keys deleted, changed and created. Until then reads return the last
// state, and Synced is false. If the store went back to an earlier state, the cache follows it;
// see [View.Generation].
//
// A cache has all keys with its prefix, including those whose last component begins with "_"
// (on etcd v2 the store does not show these to watches). Range leaves them out, as Enumerate
// does.
//
// # Memory
//
// The cache keeps all pairs in memory. See docs/caching.md for the sizes.
package cache
