package test

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/portworx/kvdb"
)

var watchGroup = group{name: "Watches", calls: "WatchKey, WatchTree", needs: []*part{watchPart}, cases: []testCase{
	{name: "Events", run: watchEvents},
	{name: "KeyOrTree", run: watchKeyOrTree},
	{name: "Arguments", run: watchArguments},
	{name: "RegisteredOnReturn", run: watchRegisteredOnReturn},
	{name: "Order", run: watchOrder},
	{name: "ManyWatchesAgree", run: watchManyAgree},
	{name: "AtomicWritesOfSeveralKeys", run: watchAtomicWrites},
	{name: "Batches", run: watchBatches},
	{name: "CallbackError", run: watchCallbackError},
	{name: "CallbackErrorOnTheEnd", run: watchCallbackErrorOnTheEnd},
	{name: "SlowCallback", run: watchSlowCallback},
	{name: "CallbackMayCall", run: watchCallbackMayCall},
	{name: "IsReleased", run: watchIsReleased, alone: true},
}}

// Each kind of write is an event with the right action and indexes.
func watchEvents(e *env) {
	e.put("other", "value")
	key, tree := e.watchKey("key", 0), e.watchTree("k", 0)
	var created uint64
	check := func(action kvdb.KVAction, value string, index uint64, err error) {
		e.t.Helper()
		e.NoError(err)
		if action == kvdb.KVCreate {
			created = index
		}
		for _, r := range []*recorder{key, tree} {
			event := r.next()
			of := "the event of the write of \"" + value + "\""
			if action == kvdb.KVDelete {
				of = "the event of the delete of \"" + value + "\""
			}
			e.Equal("key", event.Key, "the Key in %s", of)
			e.acted(action, event, of)
			e.Equal(index, event.ModifiedIndex, "the ModifiedIndex in %s must be the index of the call", of)
			if action == kvdb.KVDelete && !e.traits.DeletedValue {
				e.Empty(event.Value, "the Value in the event of a delete, unless Traits.DeletedValue is set")
				continue
			}
			e.Equal(value, string(event.Value), "the Value in %s", of)
			e.Equal(created, event.CreatedIndex, "in %s; "+createdStays, of)
		}
	}
	pair, err := e.kv.Create("key", "1", 0)
	check(kvdb.KVCreate, "1", pair.ModifiedIndex, err)
	pair, err = e.kv.Put("key", "2", 0)
	check(kvdb.KVSet, "2", pair.ModifiedIndex, err)
	pair, err = e.kv.Update("key", "3", 0)
	check(kvdb.KVSet, "3", pair.ModifiedIndex, err)
	pair, err = e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("4")}, 0, []byte("3"))
	check(kvdb.KVSet, "4", pair.ModifiedIndex, err)
	pair, err = e.kv.Put("key", "4", 0)
	check(kvdb.KVSet, "4", pair.ModifiedIndex, err)
	pair, err = e.kv.Delete("key")
	check(kvdb.KVDelete, "4", pair.KVDBIndex, err)
	pair, err = e.kv.Put("key", "5", 0)
	check(kvdb.KVCreate, "5", pair.ModifiedIndex, err)
	pair, err = e.kv.CompareAndDelete(pair, kvdb.KVModifiedIndex)
	check(kvdb.KVDelete, "5", pair.KVDBIndex, err)
	pair, err = e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("6")}, kvdb.KVModifiedIndex, nil)
	check(kvdb.KVCreate, "6", pair.ModifiedIndex, err)

	// A write that failed is not an event.
	_, err = e.kv.Create("key", "x", 0)
	e.is(kvdb.ErrExist, err)
	_, err = e.kv.Delete("k-missing")
	e.is(kvdb.ErrNotFound, err)
	e.NoError(e.kv.DeleteTree("k-missing"))
	_, err = e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("x")}, kvdb.KVModifiedIndex, nil)
	e.is(kvdb.ErrModified, err)
	pair, err = e.kv.Put("key", "7", 0)
	check(kvdb.KVSet, "7", pair.ModifiedIndex, err)
	if e.traits.DeletedValue {
		e.except("the event of a delete has the last value")
	}
}

func watchKeyOrTree(e *env) {
	key, dir, all := e.watchKey("a", 0), e.watchTree("a/", 0), e.watchTree("", 0)
	for _, name := range e.sideBySide("ab", "a/b", "b/a", "a/b/c", "a") {
		e.put(name, "value")
	}
	e.put("a/end", "value")
	for _, want := range e.sideBySide("a/b", "a/b/c", "a/end") {
		e.Equal(want, dir.next().Key, "the key of the next event of a watch of the tree a/")
	}
	for _, want := range e.sideBySide("ab", "a/b", "b/a", "a/b/c", "a", "a/end") {
		e.Equal(want, all.next().Key, "the key of the next event of a watch of all keys")
	}
	if e.traits.Directories {
		e.NoError(e.kv.DeleteTree("a"))
		e.put("a", "value")
	}
	e.Equal("a", key.next().Key, "the key of the next event of a watch of the key a")
	e.put("a", "last")
	e.Equal("last", string(key.next().Value))
}

func watchArguments(e *env) {
	opaque := &struct{ name string }{"mine"}
	key, tree := e.record(nil), e.record(nil)
	e.NoError(e.kv.WatchKey("dir/key", 0, opaque, key.callback))
	e.NoError(e.kv.WatchTree("dir/k", 0, opaque, tree.callback))
	e.put("dir/key", "value")
	watched := map[*recorder]string{key: "dir/key", tree: "dir/k"}
	for r, name := range watched {
		if e.traits.ChangedKeyAsPrefix {
			e.except("the prefix argument of a watch callback is the changed key")
			name = "dir/key"
		}
		c := r.call()
		e.NoError(c.err)
		e.Same(opaque, c.opaque, "the opaque argument must be that of the watch call")
		e.Equal(e.domain+"/"+name, c.prefix, "the prefix argument, which has the domain before the key or prefix that is watched; see Traits.ChangedKeyAsPrefix")
	}
	e.close(e.kv)
	for r := range watched {
		c := r.call()
		e.is(kvdb.ErrWatchStopped, c.err)
		e.Same(opaque, c.opaque, "in the last call")
	}
}

// A write that starts after the watch call has returned is delivered, whatever other clients
// do.
func watchRegisteredOnReturn(e *env) {
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	last := e.put("storm/before", "value")
	const missedWrite = "the next event must be that of the write that started after the watch call returned"
	for round := range 30 {
		written := make(chan error, 1)
		go func() {
			written <- errors.Join(concurrently(4, func(i int) error {
				for range 10 {
					if _, err := kvs[i%2].Put("storm/"+strconv.Itoa(i), "value", 0); err != nil {
						return err
					}
				}
				return nil
			})...)
		}()
		marker := "storm/marker" + strconv.Itoa(round)
		key, tree, busy := e.watchKey(marker, 0), e.watchTree(marker, 0), e.watchTree("storm/", last.ModifiedIndex)
		last = e.put(marker, "value")
		e.Equal(last.ModifiedIndex, key.next().ModifiedIndex, missedWrite)
		e.Equal(last.ModifiedIndex, tree.next().ModifiedIndex, missedWrite)
		events := busy.until(marker)
		e.Equal(last.ModifiedIndex, events[len(events)-1].ModifiedIndex, missedWrite)
		e.NoError(wait(e, written, "the other writers return, whatever the callback of a watch does"))
	}
}

func watchOrder(e *env) {
	e.Equal(!e.traits.FoldedUpdates, e.kv.Capabilities()&kvdb.KVCapabilityOrderedUpdates != 0, "Capabilities must have KVCapabilityOrderedUpdates, unless Traits.FoldedUpdates is set")
	r := e.watchTree("storm/", 0)
	e.follow(r, e.startStorm()())
}

func watchManyAgree(e *env) {
	var watches []*recorder
	for range 20 {
		watches = append(watches, e.watchTree("storm/", 0))
	}
	written := e.startStorm()()
	for _, r := range watches {
		e.follow(r, written)
	}
}

// An atomic write of several keys is one event for each key.
func watchAtomicWrites(e *env) {
	for _, key := range []string{"dir/a", "dir/b/c", "dir/_d"} {
		e.put(key, "value")
	}
	r := e.watchTree("", e.index())
	e.NoError(e.kv.DeleteTree("dir"))
	e.put("end", "value")
	deleted := []string{}
	for _, event := range r.until("end") {
		if event.Key != "end" {
			e.acted(kvdb.KVDelete, event, "the event of "+event.Key+", which DeleteTree deleted,")
			deleted = append(deleted, event.Key)
		}
	}
	e.ElementsMatch(e.listed("dir/a", "dir/b/c", "dir/_d"), deleted, "DeleteTree must be one event for each key")
}

// A watch with batches delivers the events of a plain watch, and events with the same index
// are in one batch.
func watchBatches(e *env) {
	const trees, keys = 20, 5
	r := e.watchTree("", e.index())
	ctx, cancel := context.WithCancel(e.t.Context())
	defer cancel()
	batches, err := kvdb.EventBatches(ctx, e.kv, "", e.index())
	e.NoError(err)
	for range trees {
		for i := range keys {
			e.put("dir/"+strconv.Itoa(i), "value")
		}
		e.NoError(e.kv.DeleteTree("dir"))
	}
	e.put("end", "value")
	var events kvdb.KVPairs
	last := uint64(0) // the largest index in the batches before
	for batch, err := range batches {
		e.NoError(err)
		e.NotEmpty(batch, "a batch of events")
		if !e.traits.FoldedUpdates {
			e.Greater(batch[0].ModifiedIndex, last, "the index of the first event of a batch, which must be larger than those in the batch before")
		}
		events = append(events, batch...)
		if last = batch[len(batch)-1].ModifiedIndex; batch[len(batch)-1].Key == "end" {
			break
		}
	}
	if !e.traits.FoldedUpdates {
		var want, got []kvdb.KVPair
		for _, event := range r.until("end")[1:] { // without the write of e.index
			want = append(want, *event)
		}
		for _, event := range events {
			got = append(got, *event)
		}
		e.Equal(want, got, "the events in batches must be those of a plain watch")
	}
}

var errEnough = errors.New("enough")

// A callback that returns an error is called once more, and then never again.
func watchCallbackError(e *env) {
	opaque := new(int)
	stopped := e.record(func(n int, _ event) error {
		if n == 2 {
			return errEnough
		}
		return nil
	})
	e.NoError(e.kv.WatchTree("", 0, opaque, stopped.callback))
	other := e.watchTree("", 0)
	e.put("key", "1")
	e.Equal("1", string(stopped.next().Value))
	e.put("key2", "2")
	e.Equal("2", string(stopped.next().Value))
	last := stopped.call()
	e.Nil(last.pair)
	e.Same(opaque, last.opaque)
	e.is(kvdb.ErrWatchStopped, last.err)
	for range 20 {
		e.put("key3", "3")
	}
	e.put("end", "value")
	other.until("end")
	stopped.none()
}

// The result of the callback's last call is ignored.
func watchCallbackErrorOnTheEnd(e *env) {
	r := e.record(func(int, event) error { return errEnough })
	e.NoError(e.kv.WatchKey("key", 0, nil, r.callback))
	e.put("key", "1")
	r.next()
	r.ends(kvdb.ErrWatchStopped)
	e.close(e.kv)
	r.none()
}

// A slow callback delays neither writers nor other watches, and gets every event.
func watchSlowCallback(e *env) {
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	slow := e.record(func(int, event) error { <-released; return nil })
	e.NoError(e.kv.WatchTree("storm/", 0, nil, slow.callback))
	fast := e.watchTree("storm/", 0)
	e.put("storm/0", "first")
	e.Equal("first", string(slow.next().Value))
	e.Equal("first", string(fast.next().Value))
	written := e.startStorm()()
	e.follow(fast, written)
	late := e.watchKey("late", 0)
	e.put("late", "value")
	e.Equal("late", late.next().Key)
	slow.none()
	release()
	e.follow(slow, written)
}

func watchCallbackMayCall(e *env) {
	inner := e.record(nil)
	answered := make(chan error, 1)
	r := e.record(func(n int, _ event) error {
		if n > 1 {
			return nil
		}
		pair, err := e.kv.Get("key")
		if err == nil {
			_, err = e.kv.Put("answer", pair.Value, 0)
		}
		answered <- errors.Join(err, e.kv.WatchKey("inner", 0, nil, inner.callback))
		return nil
	})
	e.NoError(e.kv.WatchKey("key", 0, nil, r.callback))
	e.put("key", "value")
	e.NoError(wait(e, answered, "the calls that a watch callback makes return"))
	e.holds("answer", "value")
	e.put("inner", "value")
	e.Equal("inner", inner.next().Key)
}

// The resources of a watch are released when it ends, not only when the instance is closed.
func watchIsReleased(e *env) {
	e.watchOnce() // starts the goroutines that the first watch of an instance needs
	before := e.goroutines()
	for range 50 {
		e.watchOnce()
	}
	e.eventually(func() bool { return e.goroutines() < before+20 }, "the goroutines of 50 watches that ended are gone")
}

// watchOnce makes a watch that ends with its first event.
func (e *env) watchOnce() {
	r := e.record(func(int, event) error { return errEnough })
	e.NoError(e.kv.WatchKey("once", e.index(), nil, r.callback))
	e.put("once", "value")
	r.next()
	r.ends(kvdb.ErrWatchStopped)
}
