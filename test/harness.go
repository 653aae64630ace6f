package test

import (
	"time"

	"github.com/portworx/kvdb"
)

// Harness says how the suite reaches a backend.
type Harness struct {
	// Name of the backend in test names and in the report.
	Name string
	// Init opens an instance: the backend's New.
	Init kvdb.DatastoreInit
	// Endpoints and Options are given to Init. All instances opened with them must
	// share one store, unless Traits.PrivateStore is set. The suite uses fresh domains
	// below "kvdb-test" in it, and no domain in a few calls.
	Endpoints []string
	Options   map[string]string
	// Server is the server behind Endpoints. It is nil for a store in this process,
	// which has no outages; the cases about them do not run then.
	Server Server
	// History restores the store behind Server to an earlier state. If it is nil, the
	// cases about that do not run.
	History History
	// Child is the name of a test that calls Child with the same Init, or "". The suite
	// runs it in another process and kills that. If it is "", the case about that does
	// not run, which is right for a store that ends with its process.
	Child string
	// Groups are the names of the groups of cases to run; nil means all.
	Groups []string
	// Bare keeps the suite from running once more behind the log wrapper.
	Bare bool
	// Traits are the points where the store differs from the rule.
	Traits Traits
}

// Traits are the points where a store may differ from the rule. The zero value
// is the rule.
type Traits struct {
	// PrivateStore means that each New makes a store of its own, which ends with Close.
	PrivateStore bool
	// Objects means that select and copy callbacks get the object that the caller stored
	// instead of the encoded value.
	Objects bool
	// FoldedUpdates means that the backend does not have kvdb.KVCapabilityOrderedUpdates:
	// several updates of one key may come as one event.
	FoldedUpdates bool
	// FoldedSlashes means that several slashes in a row count as one, and that slashes at
	// the start of a key do not count.
	FoldedSlashes bool
	// Directories means that a key cannot exist while there are keys below it. A write of
	// such a key returns an error that wraps kvdb.ErrIllegal.
	Directories bool
	// HiddenUnlisted means that a key with a component that begins with "_" is hidden from
	// Keys, kvdb.PairsWith, watches of a prefix, snapshots and Serialize too.
	HiddenUnlisted bool
	// IllegalKeys are the keys that the store refuses, besides the empty one.
	IllegalKeys []string

	// ExistingPair means that Create of a key that exists returns the existing pair with
	// kvdb.ErrExist.
	ExistingPair bool

	// NoTTL means that every TTL is refused with kvdb.ErrTTLNotSupported. Without it, TTLs
	// below MinTTL and above MaxTTL are; 0 means no limit.
	NoTTL          bool
	MinTTL, MaxTTL time.Duration
	// TTLUntold means that a pair that was read has a TTL of 0, but for those of
	// kvdb.PairsWith with the option TTL, of Serialize and of snapshots, if kvdb.TTLOf is
	// supported.
	TTLUntold bool
	// TTLBound means that a remaining TTL is the maximum, the whole TTL for example, because
	// the store does not report how much of it is over.
	TTLBound bool
	// TTLSlack is how much longer than its TTL a key may live.
	TTLSlack time.Duration
	// ExpiryTold means that the event of an expiry is kvdb.KVExpire instead of
	// kvdb.KVDelete.
	ExpiryTold bool
	// ExpiryUntold has no effect, because kvdb.KVDelete is the rule.
	//
	// Deprecated: it need not be set.
	ExpiryUntold bool

	// NoEmptyValue means that an empty value is refused with kvdb.ErrEmptyValue.
	NoEmptyValue bool
	// MaxValue is the limit of a value in bytes that errors name, 0 if there is none below
	// 8 MiB. If it is the limit of a request, a value may have up to 4 KiB less, because
	// the key is part of the request.
	MaxValue int

	// NoLocks, NoWatches, NoSnapshots and NoTx mean that the store does not have these.
	// Each call about them must return kvdb.ErrNotSupported itself. Cases about other
	// things do without them. The calls are, in this order: Lock, LockWithID,
	// LockWithTimeout and IsKeyLocked (Unlock and kvdb.TxGuard may also return
	// kvdb.ErrInvalidLock); WatchKey, WatchTree, kvdb.Events and
	// kvdb.NewUpdatesCollector; Snapshot and SnapPut; TxNew.
	NoLocks, NoWatches, NoSnapshots, NoTx bool
	// NoTTLOf means that kvdb.TTLOf returns kvdb.ErrNotSupported itself.
	NoTTLOf bool
	// NoPageOptions means that kvdb.PairsWith returns kvdb.ErrNotSupported itself with the
	// options Hidden and TTL.
	NoPageOptions bool
	// NoHooks means that kvdb.AddHooks returns kvdb.ErrNotSupported itself.
	NoHooks bool
	// SingleKeyTx means that a transaction over several keys is refused with
	// kvdb.ErrNotSupported, and so is kvdb.TxGuard.
	SingleKeyTx bool
	// NoTxDelete means that the store has transactions, and that kvdb.TxDelete returns
	// kvdb.ErrNotSupported itself.
	NoTxDelete bool
	// MaxTxOps is the largest number of keys in a transaction, 0 if there is no limit
	// below 1000. ServerTxLimit means that only the server knows the limit, so that
	// Commit returns the error and Prepare does not.
	MaxTxOps      int
	ServerTxLimit bool

	// HistoryFirst means that a watch with the wait index 0 gets the retained history
	// first.
	HistoryFirst bool
	// History is the minimum number of past events that a watch can ask for, 0 if only
	// Compact cuts the history.
	History int
	// VolatileHistory means that the history is lost when the last instance is closed.
	VolatileHistory bool
	// NoPastDeletions means that a watch with a wait index in the past gets the latest
	// state of the keys that changed since, and no deletions.
	NoPastDeletions bool
	// DeletedValue means that the event of a delete has the last value.
	DeletedValue bool
	// ChangedKeyAsPrefix means that the prefix argument of a watch callback is the changed
	// key instead of the watched key or prefix.
	ChangedKeyAsPrefix bool

	// OutageUntold means that hooks see nothing of requests, connections and interrupted
	// watches, because the store tells them nothing; see driver.Hooks and
	// driver.WatchObserver.
	OutageUntold bool
	// RestoredIndexGrows means that after the store was restored by its own means, new
	// writes have larger indexes than any before. An instance that asks only then cannot
	// notice that the history went back.
	RestoredIndexGrows bool

	// LockSharesKey means that a key can have either a lock or a value.
	LockSharesKey bool

	// These say what the backend has beyond pairs, watches and locks. Without it the calls
	// return kvdb.ErrNotSupported. Users needs a server that checks users, and Options
	// that make the suite's instances administrators.
	NoCompact                             bool
	Users, Members, Endpoints, Defragment bool
	// NoLogin means that the option kvdb.UsernameKey is refused with
	// kvdb.ErrAuthNotSupported.
	NoLogin bool
	// MembersJoin means that members join by themselves. They can be listed and removed,
	// but AddMember, AddLearner and UpdateMember return kvdb.ErrNotSupported.
	MembersJoin bool

	// NoLearners means that AddLearner returns kvdb.ErrNotSupported.
	NoLearners bool

	// CallTimeout is the time limit of a read or write during an outage; 0 means 10 s.
	// WatchTimeout is how long a watch waits for a store that cannot be reached; 0 means
	// 50 s.
	CallTimeout, WatchTimeout time.Duration
}

// Server is the server that a backend talks to, with one or several members. The cases
// about outages stop and start them. A method that a server cannot offer returns an error
// that wraps errors.ErrUnsupported; cases that need it are reported as not run.
type Server interface {
	// Members returns the number of members. The methods below count them from 0.
	Members() int
	// Stop ends a member in good order, Kill at once (kill -9).
	Stop(member int) error
	Kill(member int) error
	// Start starts a member that was stopped or killed, with its data. It returns when the
	// member serves requests, or needs only other members to do so.
	Start(member int) error
	// Pause freezes a member (SIGSTOP) until Resume.
	Pause(member int) error
	Resume(member int) error
	// Isolate cuts a member off from the others and from clients until Rejoin. Rejoin
	// returns when the member serves requests, or needs only other members to do so.
	Isolate(member int) error
	Rejoin(member int) error
}

// Peers is implemented by a Server that can cut a member off from the other members only.
// Without it, the cases that need it are skipped.
type Peers interface {
	// CutOff cuts a member off from the others, but not from clients, until Connect.
	CutOff(member int) error
	Connect(member int) error
}
