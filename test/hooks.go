package test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portworx/kvdb"
)

var hookGroup = group{name: "Hooks", calls: "kvdb.AddHooks, RemoveHooks", needs: []*part{hookPart}, cases: []testCase{
	{name: "Operations", run: hooksOperations},
	{name: "Context", run: hooksContext},
	{name: "Removed", run: hooksRemoved},
	{name: "Transactions", run: hooksTransactions, needs: []*part{txPart}},
	{name: "Locks", run: hooksLocks, needs: []*part{lockPart}},
	{name: "HoldLimit", run: hooksHoldLimit, needs: []*part{lockPart}},
	{name: "Deliveries", run: hooksDeliveries, needs: []*part{watchPart}},
}}

// hook records what it observes.
type hook struct {
	e *env
	// told has an element after something was recorded.
	told chan struct{}

	mu         sync.Mutex // protects the fields below
	running    int        // operations that have started and not ended
	view       any        // a value in the context of the view of the last operation
	operations []string
	locks      []string
	watches    []string // without the lengths of queues
	queue      int      // that was told last
	deliveries []kvdb.Delivery
}

type hookKey struct{}

type viewKey struct{}

// hook adds a hook to an instance.
func (e *env) hook(kv kvdb.Kvdb) *hook {
	e.t.Helper()
	h := &hook{e: e, told: make(chan struct{}, 1)}
	e.NoError(kvdb.AddHooks(kv, h))
	return h
}

// record makes a change, and wakes await.
func (h *hook) record(change func()) {
	h.mu.Lock()
	change()
	h.mu.Unlock()
	select {
	case h.told <- struct{}{}:
	default:
	}
}

// await waits until done, which is called with the mutex held, returns true.
func (h *hook) await(what string, done func() bool) {
	h.e.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		h.mu.Lock()
		is := done()
		h.mu.Unlock()
		if is {
			return
		}
		waitFor(h.e, h.told, time.Until(deadline), what)
	}
}

func (h *hook) OnOperationStart(ctx context.Context, op kvdb.Operation) context.Context {
	h.record(func() { h.running++; h.view = ctx.Value(viewKey{}) })
	return context.WithValue(ctx, hookKey{}, op)
}

func (h *hook) OnOperationEnd(ctx context.Context, op kvdb.Operation, outcome kvdb.Outcome, err error, took time.Duration) {
	seen := fmt.Sprintf("%s %q %s", op.Name, op.Key, outcome)
	switch {
	case ctx.Value(hookKey{}) != op:
		seen += ", with another context than that of its start"
	case op.Backend != h.e.kv.String() || op.Domain != h.e.domain:
		seen += fmt.Sprintf(", of backend %q and domain %q", op.Backend, op.Domain)
	case (err == nil) != (outcome == kvdb.OutcomeOK) || took < 0:
		seen += fmt.Sprintf(", with the error %v after %v", err, took)
	}
	h.record(func() { h.running--; h.operations = append(h.operations, seen) })
}

func (h *hook) watch(w kvdb.Watch, what string) {
	h.record(func() { h.watches = append(h.watches, fmt.Sprintf("%q %t %s", w.Key, w.Tree, what)) })
}

func (h *hook) OnWatchStart(w kvdb.Watch)                      { h.watch(w, "starts") }
func (h *hook) OnWatchInterrupted(w kvdb.Watch, _ error)       { h.watch(w, "is interrupted") }
func (h *hook) OnWatchResumed(w kvdb.Watch, gap time.Duration) { h.watch(w, "resumes") }
func (h *hook) OnWatchQueue(_ kvdb.Watch, queued int)          { h.record(func() { h.queue = queued }) }
func (h *hook) OnWatchEnd(w kvdb.Watch, err, _ error)          { h.watch(w, "ends: "+err.Error()) }

func (h *hook) OnDelivery(d kvdb.Delivery) {
	h.record(func() { h.deliveries = append(h.deliveries, d) })
}

func (h *hook) lock(l kvdb.LockInfo, what string) {
	h.record(func() { h.locks = append(h.locks, fmt.Sprintf("%s %s %d %s", l.Key, l.ID, l.Token, what)) })
}

func (h *hook) OnLockWaiting(l kvdb.LockInfo)                      { h.lock(l, "waiting") }
func (h *hook) OnLockObtained(l kvdb.LockInfo, _ time.Duration)    { h.lock(l, "obtained") }
func (h *hook) OnLockHeldTooLong(l kvdb.LockInfo, _ time.Duration) { h.lock(l, "held too long") }

func (h *hook) OnLockNotObtained(l kvdb.LockInfo, _ time.Duration, err error) {
	h.lock(l, fmt.Sprintf("not obtained, exists: %t", errors.Is(err, kvdb.ErrExist)))
}

func (h *hook) OnLockLost(l kvdb.LockInfo, _ time.Duration, reason string) {
	h.lock(l, "lost: "+reason)
}

func (h *hook) OnLockReleased(l kvdb.LockInfo, _ time.Duration, err error) {
	h.lock(l, fmt.Sprint("released, error ", err))
}

// saw asserts the operations since the last saw.
func (h *hook) saw(want ...string) {
	h.e.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.e.Equal(want, h.operations, "each operation must be told once, with its name, key and outcome")
	h.e.Zero(h.running, "each operation that starts must end")
	h.operations = nil
}

// Each call of a method that may send a request is one operation.
func hooksOperations(e *env) {
	h, kv := e.hook(e.kv), e.kv
	pair := e.put("dir/key", `"value"`)
	h.saw(`put "dir/key" ok`)
	changed := *pair
	changed.ModifiedIndex--
	canceled, cancel := context.WithCancel(e.t.Context())
	cancel()
	var text string
	var number int
	calls := []struct {
		want string
		call func() error
	}{
		{`get "dir/key" ok`, func() error { _, err := kv.Get("dir/key"); return err }},
		{`get "none" not_found`, func() error { _, err := kv.Get("none"); return err }},
		{`get "none" canceled`, func() error { _, err := kvdb.WithContext(canceled, kv).Get("none"); return err }},
		{`get "" illegal`, func() error { _, err := kv.Get(""); return err }},
		{`get "dir/key" ok`, func() error { _, err := kv.GetVal("dir/key", &text); return err }},
		{`get "dir/key" illegal`, func() error { _, err := kv.GetVal("dir/key", &number); return err }},
		{`get "dir/key" ok`, func() error {
			_, err := kv.GetWithCopy("dir/key", func(v interface{}) interface{} { return v })
			return err
		}},
		{`create "dir/key" exists`, func() error { _, err := kv.Create("dir/key", "x", 0); return err }},
		{`update "none" not_found`, func() error { _, err := kv.Update("none", "x", 0); return err }},
		{`put "" illegal`, func() error { _, err := kv.Put("", "x", 0); return err }},
		{`compare_and_set "dir/key" modified`, func() error {
			_, err := kv.CompareAndSet(&changed, kvdb.KVModifiedIndex, nil)
			return err
		}},
		{`compare_and_set "dir/key" value_mismatch`, func() error { _, err := kv.CompareAndSet(pair, 0, []byte("x")); return err }},
		{`compare_and_delete "dir/key" modified`, func() error { _, err := kv.CompareAndDelete(&changed, kvdb.KVModifiedIndex); return err }},
		{`enumerate "di" ok`, func() error { _, err := kv.Enumerate("di"); return err }},
		{`enumerate "di" ok`, func() error {
			_, err := kv.EnumerateWithSelect("di", func(interface{}) bool { return false }, func(v interface{}) interface{} { return v })
			return err
		}},
		{`enumerate "di" ok`, func() error {
			_, err := kv.EnumerateKVPWithSelect("di", func(*kvdb.KVPair, interface{}) bool { return false },
				func(p *kvdb.KVPair, _ interface{}) *kvdb.KVPair { return p })
			return err
		}},
		{`enumerate "di" ok`, func() error { return errorOf(kvdb.Pairs(kv, "di")) }},
		{`keys "dir" ok`, func() error { _, err := kv.Keys("dir", ""); return err }},
		{`serialize "" ok`, func() error { _, err := kv.Serialize(); return err }},
		{`delete "dir/key" ok`, func() error { _, err := kv.Delete("dir/key"); return err }},
		{`delete_tree "dir" ok`, func() error { return kv.DeleteTree("dir") }},
	}
	if !e.lacks(snapshotPart) {
		e.NoError(func() error {
			snapshot, _, err := kv.Snapshot([]string{"di"}, false)
			return errors.Join(err, kvdb.Close(snapshot))
		}())
		h.saw(`snapshot "di" ok`)
	}
	for _, c := range calls {
		e.t.Log(c.want, "→", c.call())
		h.saw(c.want)
	}
}

// The context of an operation comes from the view. Hooks see the calls of all views.
func hooksContext(e *env) {
	h := e.hook(e.kv)
	ctx, cancel := context.WithCancel(context.WithValue(e.t.Context(), viewKey{}, "the view"))
	view := kvdb.WithContext(ctx, e.kv)
	later := e.hook(view)
	_, err := view.Put("key", "value", 0)
	e.NoError(err)
	e.put("key", "value")
	e.Nil(h.view)
	cancel()
	_, err = view.Get("key")
	e.ErrorIs(err, context.Canceled)
	for _, each := range []*hook{h, later} {
		each.saw(`put "key" ok`, `put "key" ok`, `get "key" canceled`)
		e.Equal("the view", each.view)
	}
}

// A hook that was added twice is told once, and after its removal no longer.
func hooksRemoved(e *env) {
	h, other := e.hook(e.kv), e.hook(e.kv)
	e.NoError(kvdb.AddHooks(e.kv, h, other, h))
	e.put("key", "value")
	h.saw(`put "key" ok`)
	kvdb.RemoveHooks(e.kv, h)
	e.put("other", "value")
	h.saw()
	other.saw(`put "key" ok`, `put "other" ok`)
	if e.lacks(watchPart) || e.lacks(lockPart) {
		return
	}
	e.NoError(kvdb.AddHooks(e.kv, h))
	r := e.watchTree("dir/", e.index())
	lock := e.lock(e.kv, "lock", "me")
	kvdb.RemoveHooks(e.kv, h)
	e.put("dir/key", "value")
	r.seesKeys("dir/key")
	e.unlock(e.kv, lock)
	e.Len(h.locks, 2, "waiting and obtained")
	e.Len(h.watches, 1, "the start")
	e.Empty(h.deliveries)
}

// The commit of a transaction is an operation, and so is each of its reads in the store.
func hooksTransactions(e *env) {
	e.put("key", "value")
	h, tx := e.hook(e.kv), e.tx()
	_, err := tx.Get("key")
	e.NoError(err)
	e.txWrites(tx, "key", "written")
	_, err = tx.Get("key")
	e.NoError(err)
	e.NoError(tx.Prepare())
	h.saw(`get "key" ok`)
	e.NoError(tx.Commit())
	h.saw(`commit "" ok`)
	if !e.lacks(txDeletePart) {
		tx = e.tx()
		e.NoError(kvdb.TxDelete(tx, "key"))
		_, err = tx.Get("key")
		e.is(kvdb.ErrNotFound, err)
		e.NoError(tx.Commit())
		h.saw(`commit "" ok`)
		e.put("key", "value")
		h.saw(`put "key" ok`)
	}
	conflict := e.tx()
	_, err = conflict.Get("key")
	e.NoError(err)
	e.txWrites(conflict, "key", "again")
	e.put("key", "changed")
	e.is(kvdb.ErrModified, conflict.Commit())
	h.saw(`get "key" ok`, `put "key" ok`, `commit "" modified`)
}

// sawLocks asserts what was told about locks since the last sawLocks.
func (h *hook) sawLocks(want ...string) {
	h.e.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.e.Equal(want, h.locks, "each step of a lock must be told once and in order")
	h.locks = nil
}

func hooksLocks(e *env) {
	kv := e.open(e.domain)
	h := e.hook(kv)
	pair := e.lock(kv, "lock", "me")
	obtained := fmt.Sprintf("lock me %d ", pair.ModifiedIndex)
	h.sawLocks("lock me 0 waiting", obtained+"obtained")
	_, err := kv.LockWithTimeout("lock", "other", 0, 0)
	e.ErrorIs(err, kvdb.ErrExist)
	h.sawLocks("lock other 0 waiting", "lock other 0 not obtained, exists: true")
	h.saw(`lock "lock" ok`, `lock "lock" locked`)
	e.unlock(kv, pair)
	e.unlock(kv, pair)
	h.sawLocks(obtained + "released, error <nil>")
	h.saw(`unlock "lock" ok`, `unlock "lock" ok`)
	pair = e.lock(kv, "lock", "me")
	obtained = fmt.Sprintf("lock me %d ", pair.ModifiedIndex)
	e.close(kv)
	h.sawLocks("lock me 0 waiting", obtained+"obtained", obtained+"lost: "+kvdb.LockClosed)
}

// A lock that is held for too long is told before the fatal callback is called.
func hooksHoldLimit(e *env) {
	cb, calls := fatals()
	kv := e.openWith(e.domain, nil, cb)
	h := e.hook(kv)
	pair, err := kv.LockWithTimeout("lock", "me", patience, 20*time.Millisecond)
	e.NoError(err)
	wait(e, calls, "the fatal callback is called")
	e.unlock(kv, pair)
	obtained := fmt.Sprintf("lock me %d ", pair.ModifiedIndex)
	h.sawLocks("lock me 0 waiting", obtained+"obtained", obtained+"held too long", obtained+"released, error <nil>")
}

// Each event is one delivery. The queue is empty at the end.
func hooksDeliveries(e *env) {
	kv := e.open(e.domain)
	h := e.hook(kv)
	before, err := kv.Put("before", "value", 0)
	e.NoError(err)
	r := e.watchTreeOf(kv, "dir/", before.ModifiedIndex)
	const events = 20
	for i := range events {
		_, err := kv.Put(fmt.Sprintf("dir/%02d", i), "value", 0)
		e.NoError(err)
	}
	for i := range events {
		event := r.next()
		h.await("each event is told as a delivery", func() bool { return len(h.deliveries) > i })
		h.mu.Lock()
		d := h.deliveries[i]
		h.mu.Unlock()
		e.Equal(event.Key, d.Key)
		e.Equal(event.Action, d.Action)
		e.Equal(event.ModifiedIndex, d.Index)
		e.NotZero(d.Watch.ID)
		e.Equal(kvdb.Watch{Backend: kv.String(), Domain: e.domain, Key: "dir/", Tree: true, ID: d.Watch.ID}, d.Watch)
		e.GreaterOrEqual(d.Waited, time.Duration(0))
		e.GreaterOrEqual(d.Took, time.Duration(0))
	}
	h.await("the queue is told to be empty", func() bool { return h.queue == 0 })
	e.close(kv)
	e.Len(h.deliveries, events, "each event must be told once")
	e.Equal([]string{`"dir/" true starts`, `"dir/" true ends: ` + kvdb.ErrWatchStopped.Error()}, h.watches)
}
