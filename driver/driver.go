// Package driver is the contract between the engine, which is what all backends
// have in common, and a store, which is what is different about one.
//
// It is experimental: a minor version may change it. It is public so that a
// backend can live outside of this module.
//
// A backend implements Store, as many of the optional interfaces as its store
// can serve, and hands the result to engine.New. Everything a program sees
// beyond that (domains, value encoding, conditions, hidden keys, copying, lock
// queues, watch goroutines, transactions, Close) is the engine's.
//
// Rules for all methods: they are safe for concurrent use and obey ctx. Keys
// are full: domain included, checked by the engine. Byte slices handed in
// belong to the caller and are only valid during the call; what a method
// returns is the caller's to keep and change. The sentinels named here
// (kvdb.ErrNotFound, …) are returned bare. A lost connection is an error that
// wraps kvdb.ErrNoConnection when the request is known not to have run, and
// kvdb.ErrUnknownOutcome when a write may have. When ctx ends a call, its error
// is that of WithCause.
package driver

import (
	"context"
	"errors"
	"time"

	"github.com/portworx/kvdb"
)

// Store is what every backend offers.
type Store interface {
	// Profile says what the store can hold; the engine refuses the rest. It is
	// called once.
	Profile() Profile

	// Get returns the pair at key with Value, CreatedIndex, ModifiedIndex,
	// KVDBIndex (the store's index at the reply), and TTL where the store tells
	// it: the remaining seconds, rounded up. kvdb.ErrNotFound without one.
	Get(ctx context.Context, key string) (*kvdb.KVPair, error)

	// List returns the pairs whose key has the string prefix, sorted by key, all
	// as they were at one moment. Fields as in Get, and Key.
	List(ctx context.Context, prefix string, o ListOptions) (Page, error)

	// Put writes one pair in one atomic step if w.Cond holds, and returns its
	// indexes. w.TTL replaces any earlier one; 0 takes it away.
	Put(ctx context.Context, w Write) (Indexes, error)

	// Delete removes the pair at key in one atomic step if c holds, and returns
	// what was there, with KVDBIndex the index of the delete; kvdb.ErrNotFound
	// without one.
	Delete(ctx context.Context, key string, c Cond) (*kvdb.KVPair, error)

	// DeletePrefix removes every pair whose key has the string prefix, in one
	// atomic step. None is no error.
	DeletePrefix(ctx context.Context, prefix string) error

	// Watch returns once the watch is registered: every write that starts
	// afterwards is in the stream. ctx ends the stream, not only the call.
	// A store without watches returns kvdb.ErrNotSupported.
	Watch(ctx context.Context, r WatchRequest) (Stream, error)

	// Lock obtains the lock key for owner, waiting up to wait while somebody
	// else holds it; at wait <= 0 it makes one attempt. It waits on the store's
	// events, not on a timer. When wait is over the error is *HeldError. ctx ends
	// the attempt, not the lease obtained. Of the calls for one key at most one
	// at a time has a wait > 0: the engine queues the others.
	// A store without locks returns kvdb.ErrNotSupported, also from LockOwner.
	Lock(ctx context.Context, key, owner string, wait time.Duration) (Lease, error)

	// LockOwner returns who holds the lock key, and false when nobody does. A
	// key that exists where the lock would be and is none is
	// kvdb.ErrInvalidLock.
	LockOwner(ctx context.Context, key string) (owner string, held bool, err error)

	// Close releases what the store holds. A lease still held is lost first
	// (its Lost is closed) and then released, until ctx ends, which has a deadline:
	// the error names what could not be released by then. The engine calls it once,
	// after all streams are closed; other calls may still be running, and return an
	// error.
	Close(ctx context.Context) error
}

// Profile is what a store can hold. The zero value of a field is no limit.
type Profile struct {
	// MinTTL and MaxTTL bound the TTLs that the store can honour, NoTTL says
	// that there are none. Outside: kvdb.ErrTTLNotSupported.
	MinTTL, MaxTTL time.Duration
	NoTTL          bool
	// NoEmptyValue: an empty value is kvdb.ErrEmptyValue.
	NoEmptyValue bool
	// MaxKey is in bytes of the full key, MaxValue in bytes of the encoded
	// value. Above: an error that wraps kvdb.ErrIllegal, kvdb.ErrTooLarge.
	MaxKey, MaxValue int
	// MaxTxOps and MaxTxBytes bound a transaction: the number of keys read or
	// written and the sum of the sizes of keys and values.
	MaxTxOps, MaxTxBytes int
	// CheckKey returns the form in which the store keeps key (Consul and
	// ZooKeeper fold runs of slashes), or why it cannot: keys that are not UTF-8,
	// for example. Nil: any key as it is.
	// CheckPrefix is the same for a string prefix, domains included, which may
	// end anywhere.
	CheckKey, CheckPrefix func(key string) (string, error)
	// Capabilities are the instance's, see kvdb.KVCapabilityOrderedUpdates.
	Capabilities int
	// PrivateKeyspace: the store serves one instance only, and keys go to it
	// without the domain.
	PrivateKeyspace bool
	// EventKeyAsPrefix: the prefix argument of watch callbacks is the changed
	// key, not the watched one.
	EventKeyAsPrefix bool
	// OpTimeout bounds the ctx of each call but Watch, Snapshot and Lock, which
	// bound their requests themselves; 0 is no bound, for stores in process.
	OpTimeout time.Duration
}

// ListOptions narrow a List. The zero value lists everything, as it is now.
type ListOptions struct {
	// From is the first key to be listed, for the next page.
	From string
	// Limit is the largest number of pairs wanted, 0 is no limit. A store that cannot
	// page may return more.
	Limit int
	// At is the Index of an earlier page: list the state at that index, if the
	// store can, else the present one.
	At uint64
	// KeysOnly allows the store to leave Value out.
	KeysOnly bool
}

// Page is a result of List.
type Page struct {
	// Pairs are sorted by key.
	Pairs kvdb.KVPairs
	// Index is that of the state that was listed.
	Index uint64
	// More reports whether there are pairs after the last one.
	More bool
}

// Write is one write to one key.
type Write struct {
	// Key is full: the domain is included.
	Key string
	// Value is the encoded value.
	Value []byte
	// Object is what the caller handed in, for an ObjectStore.
	Object any
	// TTL is how long the pair lives, in whole seconds and within the Profile; 0 is for
	// ever.
	TTL time.Duration
	// Cond must hold for the write to be made.
	Cond Cond
}

// Indexes are those of a pair after a write.
type Indexes struct {
	// Created is the index of the write that created the key, Modified that of its
	// latest write.
	Created, Modified uint64
}

// WatchRequest says which events a watch wants.
type WatchRequest struct {
	// Key is the key that is watched.
	Key string
	// Prefix asks for every key with the string prefix Key.
	Prefix bool
	// After asks for every event with a larger index; when the store does not
	// know all of them any more the stream ends with
	// kvdb.ErrWatchRevisionCompacted. 0 is from now on, and for a store that
	// keeps its history in memory the history first.
	After uint64
}

// Stream is a watch's sequence of events.
type Stream interface {
	// Next waits for events and returns them in index order: Key (full), Action
	// KVCreate, KVSet, KVDelete or KVExpire, Value, CreatedIndex, ModifiedIndex and
	// KVDBIndex (both the event's). An error ends the stream:
	// kvdb.ErrWatchRevisionCompacted, or any other for a watch that stopped.
	// It rides out lost connections by itself.
	Next() ([]*kvdb.KVPair, error)
	// Close releases what the stream holds. The engine calls it once, from the
	// goroutine that calls Next.
	Close()
}

// Lease is a lock held.
type Lease interface {
	// Token is the fencing token: an index of the store, larger for each later holder of
	// the key.
	Token() uint64
	// Lost is closed when the lock is lost, see kvdb.HeldLock. It is never
	// closed by Release.
	Lost() <-chan struct{}
	// Release gives the lock up: kvdb.ErrInvalidLock, and nothing is touched,
	// when it is not held any more. After an error that wraps
	// kvdb.ErrNoConnection it may be called again; the store goes on to release
	// the lock by itself. The engine makes one call at a time.
	Release(ctx context.Context) error
}

// HeldError is the error of Lock when somebody else holds the lock. Owner is ""
// when it was not found out.
type HeldError struct {
	// Owner is the holder's ID.
	Owner string
}

func (e *HeldError) Error() string { return "lock is held by " + e.Owner }

// Errors that are the same for every store that keeps snapshots, and that the
// mem and bolt packages export.
var (
	ErrSnap                          = errors.New("operation not supported on snap")
	ErrSnapWithInterfaceNotSupported = errors.New("snap kvdb not supported with interfaces")
	ErrIllegalSelect                 = errors.New("Illegal Select implementation")
)
