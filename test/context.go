package test

import (
	"context"
	"errors"
	"time"

	"github.com/portworx/kvdb"
)

var contextGroup = group{name: "Contexts", calls: "kvdb.WithContext", cases: []testCase{
	{name: "Ended", run: contextEnded},
	{name: "EndsInTheMiddle", run: contextEndsInTheMiddle, alone: true},
	{name: "Shares", run: contextShares},
	{name: "Watch", run: contextWatch, needs: []*part{watchPart}},
	{name: "LockOutlives", run: contextLockOutlives, needs: []*part{lockPart}},
	{name: "ViewOfAView", run: contextViewOfAView},
}}

// calls returns all calls on kv that reach the store, for cases that check their errors.
func calls(kv kvdb.Kvdb) map[string]func() error {
	pair := &kvdb.KVPair{Key: "key", Value: []byte("x")}
	ignore := func(string, interface{}, *kvdb.KVPair, error) error { return nil }
	same := func(val interface{}) interface{} { return val }
	var value string
	return map[string]func() error{
		"Get":         func() error { _, err := kv.Get("key"); return err },
		"Ping":        func() error { return kvdb.Ping(context.Background(), kv) },
		"GetVal":      func() error { _, err := kv.GetVal("key", &value); return err },
		"GetWithCopy": func() error { _, err := kv.GetWithCopy("key", same); return err },
		"Put":         func() error { _, err := kv.Put("key", "x", 0); return err },
		"Create":      func() error { _, err := kv.Create("new", "x", 0); return err },
		"Update":      func() error { _, err := kv.Update("key", "x", 0); return err },
		"Enumerate":   func() error { _, err := kv.Enumerate(""); return err },
		"EnumerateWithSelect": func() error {
			_, err := kv.EnumerateWithSelect("", func(interface{}) bool { return true }, same)
			return err
		},
		"EnumerateKVPWithSelect": func() error {
			_, err := kv.EnumerateKVPWithSelect("", func(*kvdb.KVPair, interface{}) bool { return true },
				func(pair *kvdb.KVPair, _ interface{}) *kvdb.KVPair { return pair })
			return err
		},
		"Pairs":                  func() error { return errorOf(kvdb.Pairs(kv, "")) },
		"kvdb.PairsWith, Hidden": func() error { return errorOf(kvdb.PairsWith(kv, "", kvdb.PageOptions{Hidden: true})) },
		"kvdb.PairsWith, TTL": func() error {
			return errorOf(kvdb.PairsWith(kv, "", kvdb.PageOptions{TTL: true, KeysOnly: true, From: "key", Size: 1}))
		},
		"kvdb.TTLOf":       func() error { _, _, err := kvdb.TTLOf(kv, "key"); return err },
		"Delete":           func() error { _, err := kv.Delete("key"); return err },
		"DeleteTree":       func() error { return kv.DeleteTree("") },
		"Keys":             func() error { _, err := kv.Keys("", ""); return err },
		"CompareAndSet":    func() error { _, err := kv.CompareAndSet(pair, kvdb.KVPrevExists, nil); return err },
		"CompareAndDelete": func() error { _, err := kv.CompareAndDelete(pair, 0); return err },
		"WatchKey":         func() error { return kv.WatchKey("key", 0, nil, ignore) },
		"WatchTree":        func() error { return kv.WatchTree("", 0, nil, ignore) },
		"Snapshot":         func() error { _, _, err := kv.Snapshot(nil, true); return err },
		"Lock":             func() error { _, err := kv.Lock("lock"); return err },
		"LockWithID":       func() error { _, err := kv.LockWithID("lock", "me"); return err },
		"LockWithTimeout": func() error {
			_, err := kv.LockWithTimeout("lock", "me", time.Hour, 0)
			return err
		},
		"IsKeyLocked": func() error { _, _, err := kv.IsKeyLocked("lock"); return err },
		"Serialize":   func() error { _, err := kv.Serialize(); return err },
		"AddMember":   func() error { _, err := kv.AddMember("127.0.0.1", "1", "new"); return err },
		"AddLearner":  func() error { _, err := kv.AddLearner("127.0.0.1", "1", "new"); return err },
		"UpdateMember": func() error {
			_, err := kv.UpdateMember("127.0.0.1", "1", "new")
			return err
		},
		"RemoveMember":     func() error { return kv.RemoveMember("new", "127.0.0.1") },
		"RemoveMemberByID": func() error { return kv.RemoveMemberByID(1 << 40) },
		"ListMembers":      func() error { _, err := kv.ListMembers(); return err },
		"SetEndpoints":     func() error { return kv.SetEndpoints(kv.GetEndpoints()) },
		"Defragment":       func() error { return kv.Defragment("", 1) },
	}
}

// Every call through a view whose context has ended fails, and does nothing.
func contextEnded(e *env) {
	before := e.put("key", "value")
	cancelled, cancel := context.WithCancel(e.t.Context())
	late, cancelLate := context.WithDeadline(e.t.Context(), time.Now())
	defer cancelLate()
	view := kvdb.WithContext(cancelled, e.kv)
	_, err := view.Get("key")
	e.NoError(err)
	cancel()
	for ctx, want := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
		for call, f := range e.supported(calls(kvdb.WithContext(ctx, e.kv))) {
			e.ErrorIs(f(), want, call)
		}
	}
	e.Equal(before.ModifiedIndex, e.holds("key", "value").ModifiedIndex)
	e.Equal([]string{"key"}, e.enumerate(""))
	e.isLocked("lock", "")
}

// A view is the same instance.
func contextShares(e *env) {
	view := kvdb.WithContext(e.t.Context(), e.kv)
	e.Equal(e.kv.String(), view.String())
	e.Equal(e.kv.WrapperName(), view.WrapperName())
	_, err := view.Put("key", "value", 0)
	e.NoError(err)
	e.holds("key", "value")
	e.kv.SetLockHoldDuration(time.Hour)
	e.Equal(time.Hour, view.GetLockHoldDuration())
	pair := e.lock(view, "lock", "me")
	e.unlock(e.kv, pair)
	r := e.watchKeyOf(view, "key", e.holds("key", "value").ModifiedIndex)
	e.instances = nil
	e.NoError(kvdb.Close(view))
	r.ends(kvdb.ErrWatchStopped)
	_, err = e.kv.Get("key")
	e.ErrorIs(err, kvdb.ErrClosed)
}

// A watch made through a view ends with the context, and no other does.
func contextWatch(e *env) {
	ctx, cancel := context.WithCancel(e.t.Context())
	view := kvdb.WithContext(ctx, e.kv)
	key, tree, other := e.record(nil), e.record(nil), e.watchTree("", 0)
	e.NoError(view.WatchKey("key", 0, nil, key.callback))
	e.NoError(view.WatchTree("", 0, nil, tree.callback))
	e.put("key", "1")
	for _, r := range []*recorder{key, tree, other} {
		e.Equal("1", string(r.next().Value))
	}
	cancel()
	key.ends(kvdb.ErrWatchStopped)
	tree.ends(kvdb.ErrWatchStopped)
	e.put("key", "2")
	e.Equal("2", string(other.next().Value))
	key.none()
	tree.none()
}

// A lock obtained through a view does not end with the context.
func contextLockOutlives(e *env) {
	ctx, cancel := context.WithCancel(e.t.Context())
	pair := e.lock(kvdb.WithContext(ctx, e.kv), "lock", "me")
	cancel()
	e.isLocked("lock", "me")
	_, err := e.peer().LockWithTimeout("lock", "other", 100*time.Millisecond, 0)
	e.ErrorIs(err, kvdb.ErrExist)
	e.notLost(pair)
	e.NoError(e.kv.Unlock(pair))
	e.isLocked("lock", "")
}

// A view of a view obeys both contexts.
func contextViewOfAView(e *env) {
	for _, outerEnds := range []bool{true, false} {
		outer, cancelOuter := context.WithCancel(e.t.Context())
		inner, cancelInner := context.WithCancel(e.t.Context())
		view := kvdb.WithContext(inner, kvdb.WithContext(outer, e.kv))
		r := e.watchTreeOf(view, "", 0)
		_, err := view.Put("key", "value", 0)
		e.NoError(err)
		if outerEnds {
			cancelOuter()
		} else {
			cancelInner()
		}
		if r != nil {
			for c := r.call(); c.err == nil; {
				c = r.call()
			}
		}
		_, err = view.Get("key")
		e.ErrorIs(err, context.Canceled)
		cancelOuter()
		cancelInner()
	}
	e.holds("key", "value")

	// The error names the deadline of either, and no cancellation.
	holder := e.peer()
	held := e.lock(holder, "held", "other")
	if held == nil {
		return // no other call waits
	}
	reason := errors.New("the caller's reason")
	for _, outerEnds := range []bool{true, false} {
		ends, cancelEnds := context.WithTimeoutCause(e.t.Context(), 50*time.Millisecond, reason)
		lives, cancelLives := context.WithCancel(e.t.Context())
		outer, inner := lives, ends
		if outerEnds {
			outer, inner = ends, lives
		}
		_, err := kvdb.WithContext(inner, kvdb.WithContext(outer, e.kv)).LockWithTimeout("held", "me", patience, 0)
		e.ErrorIs(err, context.DeadlineExceeded)
		e.ErrorIs(err, reason)
		e.NotErrorIs(err, context.Canceled)
		cancelEnds()
		cancelLives()
	}
	e.NoError(holder.Unlock(held))
}
