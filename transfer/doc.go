// Package transfer copies pairs from one store to another while programs write, compares the
// pairs of two stores, and computes their digests.
//
// [Copy] works by state, not by events: an event of the watch only says that a key is to be
// looked at again. So stores whose watches fold changes are no special case. It takes these
// steps:
//
//  1. See whether the target can hold all pairs ([Preflight]).
//  2. Obtain the lock at the target. Each transaction commits only while it is held. A record
//     beside it says which copy has used the target last, so that a copy that has lost the lock
//     knows whether it may go on.
//  3. Start the watch of the source, which collects the keys that change.
//  4. Compare both sides and write what differs.
//  5. Look at the keys that have changed, until the caller's cut-over has stopped the writers.
//  6. Compare both sides until there is no difference and no event came meanwhile. The digests
//     of that comparison are in the [Receipt].
//
// The lock and the record have keys whose last component begins with [ReservedPrefix], directly
// below the target's domain. Such keys are neither copied nor compared nor in a digest.
//
// On etcd v2, which has no transactions that depend on a lock, and for a pair that is too large
// for a transaction, Copy looks at the lock before each write. There a write may happen late if
// the copier is stopped between the look and the write, or the request is delayed that long.
package transfer
