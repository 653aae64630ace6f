package driver

import (
	"context"
	"strings"

	"github.com/portworx/kvdb"
)

// Transactor is a Store that commits several keys at once. Without it a
// transaction may touch one key only, which Put does; with more Commit is
// kvdb.ErrNotSupported.
type Transactor interface {
	// Commit applies all writes in one atomic step, in order, if every Read
	// still holds, else kvdb.ErrModified, and every lock is still held, else
	// kvdb.ErrInvalidLock. No key is written twice, and no write has a Cond. The
	// locks are leases of this store's Lock.
	Commit(ctx context.Context, reads []Read, writes []Write, locks []Lease) error
}

// TxChecker is a Transactor that knows better than the limits of its Profile whether
// a transaction is too large. Without it MaxTxOps and MaxTxBytes decide alone.
type TxChecker interface {
	// CheckTx returns an error when Commit could not be sent: one that wraps
	// kvdb.ErrTooLarge and names the limit. It sends nothing.
	CheckTx(reads []Read, writes []Write, locks []Lease) error
}

// Read is a key that a transaction has read.
type Read struct {
	// Key is full: the domain is included.
	Key string
	// Modified is the pair's ModifiedIndex, 0 when there was none.
	Modified uint64
}

// Creator is a Store that finds out in the same step what is there when a key
// exists that is to be created. Without it Create returns no pair then.
type Creator interface {
	// Create is Put of a write with Cond.Absent. With kvdb.ErrExist it returns
	// the pair that is there, fields as in Get.
	Create(ctx context.Context, w Write) (Indexes, *kvdb.KVPair, error)
}

// ObjectStore is a Store that keeps the caller's objects (Write.Object) beside
// their encoding. Without it a select or copy callback gets the encoded value.
type ObjectStore interface {
	// GetObject returns the object at key.
	GetObject(ctx context.Context, key string) (any, error)
	// ListObjects is List with the objects in the order of the pairs.
	ListObjects(ctx context.Context, prefix string, o ListOptions) (Page, []any, error)
}

// ChildLister is a Store that finds the first-level names of a directory
// without listing all that is below it. Without it the engine lists keys.
type ChildLister interface {
	// Children returns what ChildName returns for the keys that have the string
	// prefix dir, each once, sorted.
	Children(ctx context.Context, dir, sep string) ([]string, error)
}

// ChildName returns the first-level name in rest, a key less its directory: up
// to the next separator that is not its first character. It is "" for an
// empty rest, which names nothing.
func ChildName(rest, sep string) string {
	if rest == "" {
		return ""
	}
	if i := strings.Index(rest[1:], sep); i >= 0 {
		return rest[:1+i]
	}
	return rest
}

// Snapshotter is a Store that can be copied. Without it Snapshot is
// kvdb.ErrNotSupported.
type Snapshotter interface {
	// Snapshot returns the pairs whose keys have one of prefixes, none of which covers
	// another: each once, in any order (that of the keys is the fastest), fields as in
	// List. With consistent they are as at one moment, and the index R returned is
	// larger than the ModifiedIndex of each pair, while a watch from R delivers exactly
	// what came later. Where that takes a write that the user may not make, or that the
	// store refuses at the moment, R is the index of the state, which a pair may have
	// too. Without consistent R is 0. Profile.OpTimeout does not bound ctx, because the
	// time depends on the number of pairs: the store has a limit of its own.
	Snapshot(ctx context.Context, prefixes []string, consistent bool) (kvdb.KVPairs, uint64, error)
}

// SnapPutter is a Store of a snapshot, which records pairs with the indexes they
// carry. Without it SnapPut is kvdb.ErrNotSupported.
type SnapPutter interface {
	// SnapPut records pair at key, in place of one that is there; its TTL is in seconds.
	SnapPut(ctx context.Context, key string, pair *kvdb.KVPair) error
}

// Compacter is a Store whose history can be cut. Without it Compact is
// kvdb.ErrNotSupported.
type Compacter interface {
	// Compact forgets the events whose index is less than index. An index that is not yet
	// reached, or was compacted before, is the store's own error or none.
	Compact(ctx context.Context, index uint64) error
}

// UserAdmin is a Store with users. Without it they are kvdb.ErrNotSupported.
type UserAdmin interface {
	// AddUser adds a user, who may do nothing yet. Errors of these methods are the store's
	// own, and kvdb.ErrPermission for a login that may not do this.
	AddUser(ctx context.Context, username, password string) error
	// RemoveUser removes a user and his permissions.
	RemoveUser(ctx context.Context, username string) error
	// GrantAccess and RevokeAccess take one of kvdb's permission types and the
	// full subtree as the caller gave it behind the domain.
	GrantAccess(ctx context.Context, username string, permission kvdb.PermissionType, subtree string) error
	RevokeAccess(ctx context.Context, username string, permission kvdb.PermissionType, subtree string) error
}
