// Package driver defines the contract between the engine, which all backends share, and a
// store, which each backend implements.
//
// It is experimental: a minor version may change it. It is public so that a
// backend can live outside of this module.
//
// A backend implements Store, as many of the optional interfaces as its store can serve,
// and hands the result to engine.New. The engine does the rest: domains, value encoding,
// hidden keys, copying, lock queues, the goroutines of watches, transactions, Close.
//
// All methods follow these rules, unless their comments say otherwise. They are safe for
// concurrent use and obey ctx. Keys include the domain, and the engine has checked them.
// Byte slices in arguments belong to the caller and are valid only during the call. The
// caller may keep and change what a method returns. The sentinels that a comment names
// (kvdb.ErrNotFound, for example) are returned unwrapped. If the connection is lost, the
// error wraps kvdb.ErrNoConnection when the request certainly did not run, and
// kvdb.ErrUnknownOutcome when a write may have run. If ctx ends a call, the error is that
// of WithCause. Sizes are in bytes. TTLs in a KVPair are in seconds.
package driver

import (
	"context"
	"errors"
	"time"

	"github.com/portworx/kvdb"
)

// Store is the interface that every backend implements.
type Store interface {
	// Profile returns the limits and properties of the store. The engine calls it once, and
	// refuses what exceeds the limits.
	Profile() Profile

	// Get returns the pair at key. It sets Value, CreatedIndex, ModifiedIndex, KVDBIndex
	// (the store's index at the reply) and, if the store reports it, TTL: the remaining
	// seconds, rounded up. If there is no pair, the error is kvdb.ErrNotFound.
	Get(ctx context.Context, key string) (*kvdb.KVPair, error)

	// List returns the pairs whose keys have the string prefix, in the byte order of the
	// keys, all as they were at one moment. It sets Key and the fields that Get
	// sets. No read returns a pair that has expired, also before the store has removed it.
	List(ctx context.Context, prefix string, o ListOptions) (Page, error)

	// Put writes one pair in one atomic step if w.Cond holds, and returns its indexes. If
	// w.Cond does not hold, the error is that of Cond.Check or Cond.CheckMissing. w.TTL
	// replaces an earlier TTL; 0 removes it.
	Put(ctx context.Context, w Write) (Indexes, error)

	// Delete removes the pair at key in one atomic step if c holds, and returns the removed
	// pair, with the index of the delete as KVDBIndex. If there is no pair, the error is
	// kvdb.ErrNotFound.
	Delete(ctx context.Context, key string, c Cond) (*kvdb.KVPair, error)

	// DeletePrefix removes every pair whose key has the string prefix, in one atomic step.
	// It returns nil if there is none.
	DeletePrefix(ctx context.Context, prefix string) error

	// Watch returns when the watch is registered, so that the stream has every write that
	// starts afterwards. ctx ends the stream, not only the call. A store without watches
	// returns kvdb.ErrNotSupported.
	Watch(ctx context.Context, r WatchRequest) (Stream, error)

	// Lock obtains the lock key for owner. While another owner holds it, Lock waits up to
	// wait; if wait <= 0, it makes one attempt. It waits for the store's events and does
	// not poll. If the lock is still held when wait is over, the error is a *HeldError. ctx
	// ends the attempt, not the lease obtained. At most one call at a time for a key has
	// wait > 0, because the engine queues the others. A store without locks returns
	// kvdb.ErrNotSupported from Lock and LockOwner.
	Lock(ctx context.Context, key, owner string, wait time.Duration) (Lease, error)

	// LockOwner returns the owner of the lock key, and false if the lock is not held. If
	// the key exists but is not a lock, the error is kvdb.ErrInvalidLock.
	LockOwner(ctx context.Context, key string) (owner string, held bool, err error)

	// Close releases what the store holds. It closes Lost of each lease that is still held,
	// and then releases the lease. ctx has a deadline; the error names the locks that could
	// not be released before ctx ended. The engine calls Close once, after all streams are
	// closed. Other calls may still be running, and return kvdb.ErrClosed, as later ones do.
	Close(ctx context.Context) error
}

// Profile has the limits and properties of a store. A limit of 0 means that there is none.
type Profile struct {
	// MinTTL and MaxTTL bound the TTLs that the store supports. NoTTL means that it
	// supports none. The engine refuses other TTLs with kvdb.ErrTTLNotSupported.
	MinTTL, MaxTTL time.Duration
	NoTTL          bool
	// NoEmptyValue means that the store cannot hold an empty value. The engine refuses one
	// with kvdb.ErrEmptyValue.
	NoEmptyValue bool
	// MaxKey bounds the full key, and MaxValue the encoded value, in bytes. The engine
	// refuses a larger key with an error that wraps kvdb.ErrIllegal, and a larger value
	// with one that wraps kvdb.ErrTooLarge.
	MaxKey, MaxValue int
	// MaxTxOps and MaxTxBytes bound a transaction: the number of keys read or
	// written and the sum of the sizes of keys and values.
	MaxTxOps, MaxTxBytes int
	// TxDeletes means that Commit of the Transactor obeys Write.Delete. Without it
	// kvdb.TxDelete returns kvdb.ErrNotSupported. A Store that is not a Transactor need not set
	// it, because the engine deletes the one key with Delete.
	TxDeletes bool
	// Server has limits that only the server or the store enforces.
	Server ServerLimits
	// NoKeyAboveKeys means that a key cannot exist while there are keys in the directory with
	// its name. The store returns an error that wraps kvdb.ErrIllegal.
	NoKeyAboveKeys bool
	// HiddenUnlisted means that lists and watches of a prefix leave out the keys that have,
	// below the prefix, a component that begins with "_".
	HiddenUnlisted bool
	// CheckKey returns the form in which the store keeps key (Consul and ZooKeeper fold
	// runs of slashes), or an error if it cannot keep it, because it is not UTF-8 for
	// example. CheckPrefix does the same for a string prefix, which includes the domain and
	// may end anywhere. If they are nil, the store keeps every key unchanged.
	CheckKey, CheckPrefix func(key string) (string, error)
	// Capabilities are the capabilities of the instance, see
	// kvdb.KVCapabilityOrderedUpdates.
	Capabilities int
	// PrivateKeyspace means that the store serves only one instance, so keys do not include
	// the domain.
	PrivateKeyspace bool
	// EventKeyAsPrefix means that the prefix argument of watch callbacks is the changed
	// key, not the watched one.
	EventKeyAsPrefix bool
	// OpTimeout bounds the ctx of each call except Watch, Snapshot and Lock, which bound
	// their own requests. 0, for stores in process, means no bound.
	OpTimeout time.Duration
	// SlowTTL means that the time of a List with ListOptions.TTL depends on the number of
	// pairs that expire. OpTimeout does not bound its ctx; it bounds its own requests.
	SlowTTL bool
}

// ServerLimits are limits that the engine does not enforce. kvdb.LimitsOf reports them, in
// place of those of the Profile unless they are 0, with the meaning that kvdb.Limits gives
// them. What exceeds them is an error of the store that wraps kvdb.ErrTooLarge.
type ServerLimits struct {
	// MaxValue, MaxTxOps and MaxTxBytes are the limits, in bytes but for MaxTxOps.
	MaxValue, MaxTxOps, MaxTxBytes int
	// Defaults means that these are the limits of a server as it is configured by default.
	Defaults bool
}

// ListOptions narrow a List. The zero value lists everything, as it is now.
type ListOptions struct {
	// From is the first key to be listed, for the next page.
	From string
	// Limit is the maximum number of pairs; 0 means no limit. A store that cannot page may
	// return more.
	Limit int
	// At is the Index of an earlier page. The store lists the state at that index if it
	// can, otherwise the present state.
	At uint64
	// KeysOnly allows the store to leave Value out.
	KeysOnly bool
	// TTL asks for the TTL of each pair also if that takes requests of its own. The TTL may
	// be 1 if the pair has expired, or lost its TTL, since it was listed. Without it a store
	// sets the TTLs that it knows anyway.
	TTL bool
}

// Page is the result of List.
type Page struct {
	// Pairs are sorted by key.
	Pairs kvdb.KVPairs
	// Index is the index of the state that was listed.
	Index uint64
	// More reports whether there are pairs after the last one.
	More bool
}

// Write is one write to one key.
type Write struct {
	// Key includes the domain.
	Key string
	// Value is the encoded value.
	Value []byte
	// Object is the caller's value before encoding, for an ObjectStore.
	Object any
	// TTL is the time until the pair expires: whole seconds, within the limits of the
	// Profile. A pair with 0 does not expire.
	TTL time.Duration
	// Delete means that the write deletes Key, and does nothing if there is no pair. The
	// fields above but for Key are not set then. Only Commit of a Transactor gets it, if
	// Profile.TxDeletes is set.
	Delete bool
	// Cond must hold for the write to be made.
	Cond Cond
}

// Indexes are the indexes of a pair after a write.
type Indexes struct {
	// Created is the index of the write that created the key, Modified that of its
	// latest write.
	Created, Modified uint64
}

// WatchRequest selects the events of a watch.
type WatchRequest struct {
	// Key is the watched key.
	Key string
	// Prefix selects every key with the string prefix Key.
	Prefix bool
	// After selects every event with a larger index. If the store no longer has all of
	// them, Watch returns a Stream whose Next returns kvdb.ErrWatchRevisionCompacted. 0
	// selects the events from now on; a store may deliver its history first, and declares
	// that to the suite (test.Traits.HistoryFirst).
	After uint64
	// Observer is told by the store what becomes of the watch. It may be nil.
	Observer *WatchObserver
}

// Stream is the sequence of events of a watch. The engine uses it from one goroutine.
type Stream interface {
	// Next waits for events and returns them in the order of their indexes. It sets Key,
	// with the domain; Action: KVCreate, KVSet, KVDelete or KVExpire; Value; CreatedIndex;
	// and, to the index of the event, ModifiedIndex and KVDBIndex. Next connects again if
	// the connection is lost. An error ends the stream: kvdb.ErrWatchRevisionCompacted if
	// events were missed, or any other error. Compact does not end a stream: a store in
	// process queues the events for each. Next returns when the ctx of Watch ends.
	Next() ([]*kvdb.KVPair, error)
	// Close releases what the stream holds. The engine calls it once, from the
	// goroutine that calls Next.
	Close()
}

// Lease is a lock that its owner holds.
type Lease interface {
	// Token returns the fencing token: an index of the store, larger for each later holder
	// of the lock.
	Token() uint64
	// Lost returns a channel that is closed when the lock is lost, see kvdb.HeldLock.
	// Release does not close it.
	Lost() <-chan struct{}
	// Release releases the lock. If the lock is no longer held, Release changes nothing and
	// returns kvdb.ErrInvalidLock. After an error that wraps kvdb.ErrNoConnection, Release
	// may be called again, and the store also continues to release the lock in the
	// background. The engine makes one call at a time.
	Release(ctx context.Context) error
}

// HeldError is the error of Lock if another owner holds the lock. Owner is "" if it is not
// known.
type HeldError struct {
	// Owner is the holder's ID.
	Owner string
}

func (e *HeldError) Error() string { return "lock is held by " + e.Owner }

// Errors of the stores that keep snapshots, which packages mem and bolt export too.
var (
	ErrSnap                          = errors.New("operation not supported on snap")
	ErrSnapWithInterfaceNotSupported = errors.New("snap kvdb not supported with interfaces")
	ErrIllegalSelect                 = errors.New("Illegal Select implementation")
)
