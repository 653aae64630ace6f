package wrappers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/portworx/kvdb"
)

// Bounds of the time by which the no-quorum wrapper delays a watch.
const (
	minWatchDelay = 20 * time.Second
	maxWatchDelay = 40 * time.Second
)

// noQuorumWrapper refuses all calls that need the store's data.
type noQuorumWrapper struct {
	base
	end context.CancelCauseFunc // ends life
	// life ends at Close. views are the contexts that the wrapper was bound to. Each of
	// them ends the delay of a watch.
	life  context.Context
	views []context.Context
}

var (
	_ kvdb.BatchWatcher  = (*noQuorumWrapper)(nil)
	_ kvdb.ContextBinder = (*noQuorumWrapper)(nil)
	_ kvdb.Pager         = (*noQuorumWrapper)(nil)
	_ kvdb.PagerWith     = (*noQuorumWrapper)(nil)
	_ kvdb.TTLReader     = (*noQuorumWrapper)(nil)
)

// NewNoKvdbQuorumWrapper returns a wrapper around kv for the time in which its store has no
// quorum. Reads, writes, enumeration, snapshots, new locks, transactions, users, Serialize,
// Deserialize, Compact, and calls that add or remove members return [kvdb.ErrNoQuorum] at
// once, without a request. Calls that help to repair the cluster work: Unlock, UpdateMember,
// ListMembers, the endpoints and Defragment. The settings of locks work too.
//
// WatchKey and WatchTree wait for 20 to 40 s first, because programs tend to start a watch
// again in a loop as soon as it has stopped. The wait ends early if the context ends or kv is
// closed. The wrapper does not affect earlier watches.
func NewNoKvdbQuorumWrapper(kv kvdb.Kvdb, _ map[string]string) (kvdb.Kvdb, error) {
	life, end := context.WithCancelCause(context.Background())
	return &noQuorumWrapper{base: base{kv, kvdb.Wrapper_NoQuorum}, life: life, end: end}, nil
}

// Removed does nothing. A watch that is being delayed then starts.
func (w *noQuorumWrapper) Removed() {}

// Close implements io.Closer; see [kvdb.Close].
func (w *noQuorumWrapper) Close() error {
	w.end(kvdb.ErrClosed)
	return kvdb.Close(w.Kvdb)
}

// BindContext implements [kvdb.ContextBinder].
func (w *noQuorumWrapper) BindContext(ctx context.Context) kvdb.Kvdb {
	view := *w
	view.Kvdb = kvdb.WithContext(ctx, w.Kvdb)
	view.views = append(w.views[:len(w.views):len(w.views)], ctx)
	return &view
}

// delay waits before a watch.
func (w *noQuorumWrapper) delay() error {
	ctx, cancel := context.WithCancel(w.life)
	defer cancel()
	for _, view := range w.views {
		defer context.AfterFunc(view, cancel)()
	}
	timer := time.NewTimer(minWatchDelay + rand.N(maxWatchDelay-minWatchDelay))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	}
	for _, view := range w.views {
		switch err, cause := view.Err(), context.Cause(view); {
		case err == nil:
		case errors.Is(cause, err):
			return cause
		default:
			return fmt.Errorf("%w: %w", cause, err)
		}
	}
	return context.Cause(ctx)
}

func (w *noQuorumWrapper) WatchKey(key string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	if err := w.delay(); err != nil {
		return err
	}
	return w.Kvdb.WatchKey(key, waitIndex, opaque, watchCB)
}

func (w *noQuorumWrapper) WatchTree(prefix string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	if err := w.delay(); err != nil {
		return err
	}
	return w.Kvdb.WatchTree(prefix, waitIndex, opaque, watchCB)
}

// WatchBatches implements [kvdb.BatchWatcher].
func (w *noQuorumWrapper) WatchBatches(prefix string, waitIndex uint64, batchCB kvdb.WatchBatchCB) error {
	if err := w.delay(); err != nil {
		return err
	}
	return kvdb.WatchBatches(w.Kvdb, prefix, waitIndex, batchCB)
}

func (w *noQuorumWrapper) Get(string) (*kvdb.KVPair, error) { return nil, kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) GetVal(string, interface{}) (*kvdb.KVPair, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) GetWithCopy(string, kvdb.CopySelect) (interface{}, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) Put(string, interface{}, uint64) (*kvdb.KVPair, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) Create(string, interface{}, uint64) (*kvdb.KVPair, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) Update(string, interface{}, uint64) (*kvdb.KVPair, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) Enumerate(string) (kvdb.KVPairs, error) { return nil, kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) EnumerateWithSelect(string, kvdb.EnumerateSelect,
	kvdb.CopySelect) ([]interface{}, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) EnumerateKVPWithSelect(string, kvdb.EnumerateKVPSelect,
	kvdb.CopyKVPSelect) (kvdb.KVPairs, error) {
	return nil, kvdb.ErrNoQuorum
}

// EnumeratePages implements [kvdb.Pager].
func (w *noQuorumWrapper) EnumeratePages(string, int) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) { yield(nil, kvdb.ErrNoQuorum) }
}

// EnumeratePagesWith implements [kvdb.PagerWith].
func (w *noQuorumWrapper) EnumeratePagesWith(string, kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	return w.EnumeratePages("", 0)
}

// TTLOf implements [kvdb.TTLReader].
func (w *noQuorumWrapper) TTLOf(string) (remaining time.Duration, has bool, err error) {
	return 0, false, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) Delete(string) (*kvdb.KVPair, error) { return nil, kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) DeleteTree(string) error { return kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) Keys(string, string) ([]string, error) { return nil, kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) CompareAndSet(*kvdb.KVPair, kvdb.KVFlags, []byte) (*kvdb.KVPair, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) CompareAndDelete(*kvdb.KVPair, kvdb.KVFlags) (*kvdb.KVPair, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) Snapshot([]string, bool) (kvdb.Kvdb, uint64, error) {
	return nil, 0, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) SnapPut(*kvdb.KVPair) (*kvdb.KVPair, error) { return nil, kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) Lock(string) (*kvdb.KVPair, error) { return nil, kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) LockWithID(string, string) (*kvdb.KVPair, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) LockWithTimeout(string, string, time.Duration, time.Duration) (*kvdb.KVPair, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) IsKeyLocked(string) (bool, string, error) {
	return false, "", kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) TxNew() (kvdb.Tx, error) { return nil, kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) AddUser(string, string) error { return kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) RemoveUser(string) error { return kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) GrantUserAccess(string, kvdb.PermissionType, string) error {
	return kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) RevokeUsersAccess(string, kvdb.PermissionType, string) error {
	return kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) Serialize() ([]byte, error) { return nil, kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) Deserialize([]byte) (kvdb.KVPairs, error) { return nil, kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) Compact(uint64) error { return kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) AddMember(string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) AddLearner(string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNoQuorum
}

func (w *noQuorumWrapper) RemoveMember(string, string) error { return kvdb.ErrNoQuorum }

func (w *noQuorumWrapper) RemoveMemberByID(uint64) error { return kvdb.ErrNoQuorum }
