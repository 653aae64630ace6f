package driver

import (
	"context"
	"strings"
	"time"

	"github.com/portworx/kvdb"
)

// Transactor is a Store that commits several keys at once. On another Store a transaction
// may touch only one key, which the engine writes with Put or Delete; with more keys its Commit
// returns kvdb.ErrNotSupported.
type Transactor interface {
	// Commit applies all writes in one atomic step, in order. If a Read no longer holds, it
	// writes nothing and returns kvdb.ErrModified; if a lock is no longer held,
	// kvdb.ErrInvalidLock. No key is written twice, and no write has a Cond. The locks are
	// leases that Lock of this store has returned.
	Commit(ctx context.Context, reads []Read, writes []Write, locks []Lease) error
}

// TxChecker is a Transactor that has limits of transactions besides Profile.MaxTxOps and
// Profile.MaxTxBytes.
type TxChecker interface {
	// CheckTx returns an error that wraps kvdb.ErrTooLarge and names the limit if the
	// transaction exceeds one. It sends no request.
	CheckTx(reads []Read, writes []Write, locks []Lease) error
}

// Read is a key that a transaction has read.
type Read struct {
	// Key includes the domain.
	Key string
	// Modified is the ModifiedIndex that was read, 0 if the key did not exist. The Read
	// holds while this is the same.
	Modified uint64
}

// Creator is a Store that, if it cannot create a key because it exists, returns the
// existing pair from the same step. On another Store kvdb.Kvdb's Create returns no pair
// then.
type Creator interface {
	// Create is Put of a write with Cond.Absent. With kvdb.ErrExist it returns the existing
	// pair, with the fields that Get sets.
	Create(ctx context.Context, w Write) (Indexes, *kvdb.KVPair, error)
}

// ObjectStore is a Store that keeps the caller's objects (Write.Object) with their
// encoding. On another Store the callbacks that select and copy get the encoded value.
type ObjectStore interface {
	// GetObject returns the object at key, or kvdb.ErrNotFound.
	GetObject(ctx context.Context, key string) (any, error)
	// ListObjects is like List, and also returns the objects in the order of the pairs.
	ListObjects(ctx context.Context, prefix string, o ListOptions) (Page, []any, error)
}

// ChildLister is a Store that finds the first-level names in a directory without listing
// every key below it. On another Store the engine lists the keys.
type ChildLister interface {
	// Children returns the results of ChildName for the keys with the string prefix dir,
	// sorted, without duplicates.
	Children(ctx context.Context, dir, sep string) ([]string, error)
}

// ChildName returns the first-level name in rest, which is a key without its directory. The
// name ends before the first sep that is not at the beginning of rest. It is "" if rest is
// empty.
func ChildName(rest, sep string) string {
	if rest == "" {
		return ""
	}
	if i := strings.Index(rest[1:], sep); i >= 0 {
		return rest[:1+i]
	}
	return rest
}

// TTLReader is a Store that knows when a pair expires. On another Store kvdb.TTLOf returns
// kvdb.ErrNotSupported.
type TTLReader interface {
	// TTL returns the time until the pair at key expires, and whether it expires. A store
	// that does not know the exact time returns the maximum. If there is no pair, the error
	// is kvdb.ErrNotFound.
	TTL(ctx context.Context, key string) (remaining time.Duration, has bool, err error)
}

// Snapshotter is a Store that can be copied. On another Store Snapshot returns
// kvdb.ErrNotSupported.
type Snapshotter interface {
	// Snapshot returns the pairs whose keys have one of prefixes, and an index R. No prefix
	// is a prefix of another. Each pair is returned once, with the fields that List sets
	// with ListOptions.TTL, in any order; the order of the keys is the fastest. If consistent, the pairs are the
	// state at one moment, R is larger than the ModifiedIndex of each, and a watch from R
	// delivers exactly the later writes. If the store needs a write for such an R, and the
	// write is not permitted or fails, R is the index of the state, which may equal that of
	// a pair. If not consistent, R is 0. Profile.OpTimeout does not bound ctx, because the
	// time depends on the number of pairs; the store has a limit of its own.
	Snapshot(ctx context.Context, prefixes []string, consistent bool) (kvdb.KVPairs, uint64, error)
}

// SnapPutter is a Store of a snapshot, which keeps the indexes of the pairs that it
// records. On another Store SnapPut returns kvdb.ErrNotSupported.
type SnapPutter interface {
	// SnapPut records pair at key, and replaces an existing pair. The TTL of pair is in
	// seconds.
	SnapPut(ctx context.Context, key string, pair *kvdb.KVPair) error
}

// Compacter is a Store whose history can be compacted. On another Store Compact returns
// kvdb.ErrNotSupported.
type Compacter interface {
	// Compact removes the events whose index is less than index. If index is in the future
	// or was compacted before, Compact returns nil or an error of the store.
	Compact(ctx context.Context, index uint64) error
}

// UserAdmin is a Store with users. On another Store the calls about users return
// kvdb.ErrNotSupported. Errors of the methods are the store's own, and kvdb.ErrPermission
// if the instance's login does not permit the call.
type UserAdmin interface {
	// AddUser adds a user without permissions.
	AddUser(ctx context.Context, username, password string) error
	// RemoveUser removes a user and the user's permissions.
	RemoveUser(ctx context.Context, username string) error
	// GrantAccess permits access to the keys below subtree, and RevokeAccess takes a
	// permission back. subtree is the domain followed by the caller's subtree.
	GrantAccess(ctx context.Context, username string, permission kvdb.PermissionType, subtree string) error
	RevokeAccess(ctx context.Context, username string, permission kvdb.PermissionType, subtree string) error
}

// LossReasoner is a Lease that knows why it was lost. Hooks are told that another Lease was
// lost for the reason kvdb.LockLostUnknown.
type LossReasoner interface {
	// LossReason returns why the lock is lost: one of the constants such as
	// kvdb.LockExpired. The engine calls it when Lost is closed, or when Release has
	// returned kvdb.ErrInvalidLock.
	LossReason() string
}
