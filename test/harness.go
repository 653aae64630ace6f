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
	// Endpoints and Options are what Init gets. All instances opened with them
	// must share one store, unless Traits.PrivateStore says otherwise. The suite
	// uses fresh domains below "kvdb-test" in it, and for a few calls no domain.
	Endpoints []string
	Options   map[string]string
	// Server is the server behind Endpoints. Nil for a store in this process,
	// which has no outages: the cases about them are not run.
	Server Server
	// History takes the store behind Server back to an earlier state. Nil leaves
	// out the cases about that.
	History History
	// Child is the name of a test that calls Child with the same Init, or "". The
	// suite runs it in another process, to kill that. With "" the case about it is
	// not run, which is right for a store that ends with its process.
	Child string
	// Groups are the names of the groups of cases that are run; nil for all.
	Groups []string
	// Bare keeps the suite from running once more behind the log wrapper.
	Bare bool
	// Traits are the points where the store differs.
	Traits Traits
}

// Traits are the points where a store may differ from the rule. The zero value
// is the rule.
type Traits struct {
	// PrivateStore: each New is a store of its own, which ends with its Close.
	PrivateStore bool
	// Objects: select and copy callbacks get the object that the caller handed
	// in, uncopied, and not the encoded value.
	Objects bool
	// FoldedUpdates: the backend has no kvdb.KVCapabilityOrderedUpdates. Several
	// updates of one key may come as one event.
	FoldedUpdates bool
	// FoldedSlashes: a run of slashes in a key is one, and a leading one is none.
	FoldedSlashes bool
	// Directories: a key cannot be there while another one is below it. Writing it
	// is an error that wraps kvdb.ErrIllegal.
	Directories bool
	// HiddenUnlisted: a key with a component that begins with "_" is hidden from
	// Keys, from watches of a prefix, from snapshots and from Serialize too.
	HiddenUnlisted bool
	// IllegalKeys are keys that the store refuses besides the empty one.
	IllegalKeys []string

	// ExistingPair: Create of a key that exists returns the pair that is there
	// with kvdb.ErrExist.
	ExistingPair bool

	// NoTTL: every TTL is kvdb.ErrTTLNotSupported. Else those below MinTTL and
	// above MaxTTL are; 0 is no limit.
	NoTTL          bool
	MinTTL, MaxTTL time.Duration
	// TTLUntold: a pair that was read has a TTL of 0.
	TTLUntold bool
	// TTLSlack is how much longer than its TTL a key may live.
	TTLSlack time.Duration
	// ExpiryTold: the event of an expiry is a kvdb.KVExpire, not a kvdb.KVDelete.
	ExpiryTold bool
	// ExpiryUntold has no effect: a kvdb.KVDelete is the rule without ExpiryTold.
	//
	// Deprecated: it need not be set.
	ExpiryUntold bool

	// NoEmptyValue: an empty value is kvdb.ErrEmptyValue.
	NoEmptyValue bool
	// MaxValue is the limit of a value in bytes that errors name, 0 for none below
	// 8 MiB. Where it is that of a request, a value may have up to 4 KiB less,
	// because its key is part of the request.
	MaxValue int

	// NoLocks, NoWatches, NoSnapshots, NoTx: the store has none of these. Each call
	// about them is kvdb.ErrNotSupported, itself: Lock, LockWithID, LockWithTimeout
	// and IsKeyLocked, while Unlock and kvdb.TxGuard may also be kvdb.ErrInvalidLock;
	// WatchKey, WatchTree, kvdb.Events and kvdb.NewUpdatesCollector; Snapshot and
	// SnapPut; TxNew. Cases about something else do without them.
	NoLocks, NoWatches, NoSnapshots, NoTx bool
	// SingleKeyTx: a transaction over more than one key is
	// kvdb.ErrNotSupported, and so is kvdb.TxGuard.
	SingleKeyTx bool
	// MaxTxOps is the largest number of keys in a transaction, 0 for no limit
	// below 1000. With ServerTxLimit only the server knows it, so Commit tells of
	// it and Prepare does not.
	MaxTxOps      int
	ServerTxLimit bool

	// HistoryFirst: a watch with wait index 0 gets the retained history first.
	HistoryFirst bool
	// History is the number of past events that a watch can ask for, at least; 0
	// when Compact alone cuts the history.
	History int
	// VolatileHistory: the history starts anew when the last instance is closed.
	VolatileHistory bool
	// NoPastDeletions: a watch with a wait index in the past gets the keys
	// changed since in their latest state, and no past deletion.
	NoPastDeletions bool
	// DeletedValue: the event of a delete carries the last value.
	DeletedValue bool
	// ChangedKeyAsPrefix: the prefix argument of a watch callback is the changed
	// key, not the watched key or prefix.
	ChangedKeyAsPrefix bool

	// RestoredIndexGrows: when the store is restored by its own means, what is
	// written afterwards has larger indexes than what was there before. An instance
	// that asks only then cannot tell that the history went back.
	RestoredIndexGrows bool

	// LockSharesKey: a lock and a value at one key exclude each other.
	LockSharesKey bool

	// What the backend has beyond pairs, watches and locks. Without it the calls
	// are kvdb.ErrNotSupported. Users asks for a server that checks who a client
	// is, and for Options that make the suite's instances administrators.
	NoCompact                             bool
	Users, Members, Endpoints, Defragment bool
	// NoLogin: kvdb.UsernameKey among the options is kvdb.ErrAuthNotSupported.
	NoLogin bool
	// MembersJoin: members join by themselves. They can be listed and removed, but
	// AddMember, AddLearner and UpdateMember are kvdb.ErrNotSupported.
	MembersJoin bool

	// NoLearners: AddLearner is kvdb.ErrNotSupported.
	NoLearners bool

	// CallTimeout is the time limit of a read or write during an outage, 0 for
	// 10 s. WatchTimeout is how long a watch waits for a store that cannot be
	// reached, 0 for 50 s.
	CallTimeout, WatchTimeout time.Duration
}

// Server is the server that a backend talks to, one member or several. The
// cases about outages stop and start it. A method that a server cannot offer
// returns an error that wraps errors.ErrUnsupported; cases that need it are
// reported as not run.
type Server interface {
	// Members is their number. They are counted from 0 below.
	Members() int
	// Stop ends a member in good order, Kill at once (kill -9).
	Stop(member int) error
	Kill(member int) error
	// Start starts a member that was stopped or killed, on the data it left. It
	// returns when the member serves requests, or when all that is missing for
	// that are other members.
	Start(member int) error
	// Pause freezes a member (SIGSTOP) until Resume.
	Pause(member int) error
	Resume(member int) error
	// Isolate cuts a member off from the others and from clients until Rejoin.
	Isolate(member int) error
	Rejoin(member int) error
}

// Peers is a Server that can cut a member off from the others alone. Cases that
// need it are skipped without.
type Peers interface {
	// CutOff cuts a member off from the others, and not from clients, until Connect.
	CutOff(member int) error
	Connect(member int) error
}
