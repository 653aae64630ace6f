package kvdb

import "time"

// Permission types for GrantUserAccess and RevokeUsersAccess.
const (
	// ReadPermission gives read-only access.
	ReadPermission = iota
	// WritePermission gives write-only access.
	WritePermission
	// ReadWritePermission gives read and write access.
	ReadWritePermission
)

// Defaults of every backend.
const (
	// DefaultLockTryDuration is the maximum time that a Lock call waits for the lock.
	DefaultLockTryDuration = 300 * time.Second
	// DefaultSeparator separates the components of a key.
	DefaultSeparator = "/"
)

const (
	// KVCapabilityOrderedUpdates means that a watch delivers an update for every
	// put. Without it several puts of one key may come as one update.
	KVCapabilityOrderedUpdates = 1 << iota
)

// KVAction is what happened to a pair, for example to one that a watch delivers.
type KVAction int

const (
	// KVSet means that the pair was written.
	KVSet KVAction = 1 << iota
	// KVCreate means that the pair was created.
	KVCreate
	// KVGet means that the pair was read.
	KVGet
	// KVDelete means that the pair was deleted.
	KVDelete
	// KVExpire means that the pair's TTL is over. Only etcd v2 has it; elsewhere an
	// expiry is KVDelete.
	KVExpire
	// KVUknown is an action that is not one of the others.
	KVUknown
)

// KVFlags are the conditions of [Kvdb.CompareAndSet] and [Kvdb.CompareAndDelete].
type KVFlags uint64

const (
	// KVPrevExists requires that the key exists.
	KVPrevExists KVFlags = 1 << iota
	// KVCreatedIndex requires that the key has the CreatedIndex of the given pair.
	KVCreatedIndex
	// KVModifiedIndex requires that the key has the ModifiedIndex of the given pair.
	KVModifiedIndex
	// KVTTL is no condition: it gives the key the TTL of the given pair.
	KVTTL
)

// PermissionType is ReadPermission, WritePermission or ReadWritePermission.
type PermissionType int

// WatchCB is called with each change of a watched key or tree. If it returns an
// error, the watch stops and the callback is called one last time, with
// [ErrWatchStopped].
//
// prefix is the watched key or prefix with the domain in front (in memory and on
// bolt the changed key). opaque is what was given to [Kvdb.WatchKey] or
// [Kvdb.WatchTree]. If err is not nil, kvp is nil and the watch is over. A watch has
// one goroutine: its callback is never called twice at a time, and a slow callback
// delays no other watch. A callback may call the library, but must not wait for the
// [Close] of its own instance.
type WatchCB func(prefix string, opaque interface{}, kvp *KVPair, err error) error

// FatalErrorCB is called when a lock is lost, or is held for longer than its limit.
type FatalErrorCB func(err error, format string, args ...interface{})

// EnumerateSelect reports whether [Kvdb.EnumerateWithSelect] returns a copy of val.
type EnumerateSelect func(val interface{}) bool

// EnumerateKVPSelect reports whether [Kvdb.EnumerateKVPWithSelect] returns a copy of
// kvp.
type EnumerateKVPSelect func(kvp *KVPair, val interface{}) bool

// CopySelect returns a deep copy of val.
type CopySelect func(val interface{}) interface{}

// CopyKVPSelect returns a deep copy of kvp.
type CopyKVPSelect func(kvp *KVPair, val interface{}) *KVPair

// KVPair is a key and its value, with what the store knows about them.
type KVPair struct {
	// Key is relative to the domain of the instance.
	Key string
	// Value is the value as it is stored.
	Value []byte
	// Action is the operation that returned the pair, or the change that a watch
	// delivers.
	Action KVAction
	// TTL is the time to live in seconds that a write was given. In a pair that was
	// read in memory, on bolt or on etcd v2 it is the rest, rounded up, and so it is in
	// the pairs of a snapshot, of Serialize, and of PairsWith with the option TTL.
	TTL int64
	// KVDBIndex is the store's monotonic index, which each modification raises.
	KVDBIndex uint64
	// CreatedIndex is the index of the write that created the key.
	CreatedIndex uint64
	// ModifiedIndex is the index of the last write to the key.
	ModifiedIndex uint64
	// Lock represents the lock in a pair that a Lock call returned. It implements
	// HeldLock.
	Lock interface{}
}

// KVPairs is a list of pairs.
type KVPairs []*KVPair

// Tx is a transaction: it applies its writes together, or none of them.
//
// Commit applies them only if every key that the transaction read is unchanged, and
// returns [ErrModified] otherwise. A Tx is not for concurrent use.
type Tx interface {
	// Put writes a key when the transaction is committed.
	Put(key string, value interface{}, ttl uint64) (*KVPair, error)
	// Get returns the pair that the transaction wrote at key, or else the store's.
	Get(key string) (*KVPair, error)
	// GetVal is Get, and decodes the value from JSON into value.
	GetVal(key string, value interface{}) (*KVPair, error)
	// Prepare returns an error if the transaction cannot be committed.
	Prepare() error
	// Commit applies the writes to the store. Every later call on the Tx returns
	// ErrIllegal.
	Commit() error
	// Abort discards the writes. Every later call on the Tx returns ErrIllegal.
	Abort() error
}

// Kvdb is a key-value store. Its methods are safe for concurrent use.
type Kvdb interface {
	Controller
	// String returns the name of the backend.
	String() string
	// Capabilities returns the backend's capabilities, such as
	// KVCapabilityOrderedUpdates.
	Capabilities() int
	// Get returns the pair at key, or ErrNotFound.
	Get(key string) (*KVPair, error)
	// GetVal is Get, and decodes the value from JSON into value. The error of a value
	// that cannot be decoded is ErrUnmarshal; the pair is returned with it.
	GetVal(key string, value interface{}) (*KVPair, error)
	// GetWithCopy returns the copy that copySelect makes of the value at key.
	GetWithCopy(key string, copySelect CopySelect) (interface{}, error)
	// Put writes value at key: a []byte as it is, a string as its bytes, anything else
	// encoded as JSON. ttl is in seconds, 0 means none. Watches see the expiry of a key
	// as KVDelete (on etcd v2 as KVExpire).
	Put(key string, value interface{}, ttl uint64) (*KVPair, error)
	// Create is the same as Put except that ErrExist is returned if the key exists,
	// in memory and on bolt together with the existing pair.
	Create(key string, value interface{}, ttl uint64) (*KVPair, error)
	// Update is the same as Put except that ErrNotFound is returned if the key
	// does not exist.
	Update(key string, value interface{}, ttl uint64) (*KVPair, error)
	// Enumerate returns the pairs whose keys begin with prefix, sorted by key. Keys
	// whose last component begins with "_" are left out.
	Enumerate(prefix string) (KVPairs, error)
	// EnumerateWithSelect returns copies of those values below prefix for which
	// enumerateSelect returns true.
	EnumerateWithSelect(prefix string, enumerateSelect EnumerateSelect, copySelect CopySelect) ([]interface{}, error)
	// EnumerateKVPWithSelect returns copies of those pairs below prefix for which
	// enumerateSelect returns true.
	EnumerateKVPWithSelect(prefix string, enumerateSelect EnumerateKVPSelect, copySelect CopyKVPSelect) (KVPairs, error)
	// Delete deletes key and returns the old pair, or ErrNotFound.
	Delete(key string) (*KVPair, error)
	// DeleteTree deletes all keys below the directory prefix: "tree" leaves
	// "tree_some" alone.
	DeleteTree(prefix string) error
	// Keys returns the first-level names below the directory prefix, sorted. sep
	// separates the components of keys; "" means "/".
	Keys(prefix, sep string) ([]string, error)
	// CompareAndSet writes kvp.Value at kvp.Key if the key satisfies the conditions in
	// flags and, if prevValue is not nil, has that value. KVModifiedIndex with a
	// ModifiedIndex of 0 creates the key, ignores prevValue, and returns ErrModified if
	// the key exists.
	CompareAndSet(kvp *KVPair, flags KVFlags, prevValue []byte) (*KVPair, error)
	// CompareAndDelete deletes kvp.Key if the key satisfies the conditions in flags, or,
	// if they compare no index, has the value kvp.Value.
	CompareAndDelete(kvp *KVPair, flags KVFlags) (*KVPair, error)
	// WatchKey calls watchCB with every change of key whose ModifiedIndex is larger than
	// waitIndex. A waitIndex of 0 means every change from now on (in memory and on bolt:
	// from the beginning of the retained history).
	WatchKey(key string, waitIndex uint64, opaque interface{}, watchCB WatchCB) error
	// WatchTree is WatchKey for all keys that begin with prefix.
	WatchTree(prefix string, waitIndex uint64, opaque interface{}, watchCB WatchCB) error
	// Snapshot returns a read-only copy of the pairs whose keys begin with one of the
	// prefixes, and an index. Without prefixes it copies the whole domain, which may be
	// expensive. If consistent is true, the copy is the exact state of one moment, and a
	// watch from the index delivers exactly the later changes. Otherwise the index is 0.
	Snapshot(prefixes []string, consistent bool) (Kvdb, uint64, error)
	// SnapPut records a pair, with the indexes that it carries, in a snapshot.
	SnapPut(kvp *KVPair) (*KVPair, error)
	// LockWithID is LockWithTimeout with the durations that GetLockTryDuration and
	// GetLockHoldDuration return.
	LockWithID(key string, lockerID string) (*KVPair, error)
	// Lock is LockWithID with the ID "locked".
	Lock(key string) (*KVPair, error)
	// LockWithTimeout locks key. Unlock takes the returned pair. lockerID identifies the
	// holder. If the lock is not obtained within lockTryDuration, the error wraps
	// ErrExist. If it is held for longer than lockHoldDuration, the fatal callback is
	// called; 0 means no limit.
	LockWithTimeout(key string, lockerID string, lockTryDuration time.Duration,
		lockHoldDuration time.Duration) (*KVPair, error)
	// IsKeyLocked reports whether key is locked, and returns the ID of the holder.
	IsKeyLocked(key string) (bool, string, error)
	// Unlock releases a lock. kvp is the pair that the Lock call returned.
	Unlock(kvp *KVPair) error
	// TxNew returns a new transaction, or ErrNotSupported.
	TxNew() (Tx, error)
	// AddUser adds a user to the store.
	AddUser(username string, password string) error
	// RemoveUser removes a user from the store.
	RemoveUser(username string) error
	// GrantUserAccess permits a user the access permType to the keys that begin with
	// subtree.
	GrantUserAccess(username string, permType PermissionType, subtree string) error
	// RevokeUsersAccess takes back a permission that GrantUserAccess gave.
	RevokeUsersAccess(username string, permType PermissionType, subtree string) error
	// SetFatalCb sets the function that is called for fatal errors.
	SetFatalCb(f FatalErrorCB)
	// SetLockHoldDuration sets the maximum time that a lock may be held.
	SetLockHoldDuration(timeout time.Duration)
	// GetLockTryDuration returns the maximum time that a Lock call waits.
	GetLockTryDuration() time.Duration
	// GetLockHoldDuration returns the maximum time that a lock may be held.
	GetLockHoldDuration() time.Duration
	// Serialize encodes all pairs of the domain as JSON, with the rest of their TTLs.
	Serialize() ([]byte, error)
	// Deserialize decodes the pairs that Serialize encoded.
	Deserialize([]byte) (KVPairs, error)
	// Compact removes the history before index, to save space.
	Compact(index uint64) error
	KvdbWrapper
}
