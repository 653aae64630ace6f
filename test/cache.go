package test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
)

var cacheGroup = group{name: "Cache", calls: "package cache", needs: []*part{watchPart, snapshotPart, pagePart}, cases: []testCase{
	{name: "InSync", run: cacheInSync},
	{name: "OwnWrites", run: cacheOwnWrites},
	{name: "UnseenWrites", run: cacheUnseenWrites},
	{name: "States", run: cacheStates, alone: true},
	{name: "WritesDuringNew", run: cacheWritesDuringNew},
}}

// cacheOf returns a cache of the case's store, which the end of the case closes. onError may
// be nil.
func (e *env) cacheOf(prefix string, onError func(error)) *cache.Cache {
	e.t.Helper()
	c, err := cache.New(e.t.Context(), e.kv, prefix, cache.Options{OnError: onError})
	e.NoError(err)
	e.t.Cleanup(c.Close)
	return c
}

// cacheHas waits until the cache has a write.
func (e *env) cacheHas(c *cache.Cache, index uint64) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	e.NoError(c.WaitFor(ctx, index), "the cache must have the write %d; it is at %d", index, c.Index())
}

// stored returns the pairs below prefix, with those that Enumerate hides.
func (e *env) stored(prefix string) map[string]write {
	e.t.Helper()
	pairs := map[string]write{}
	for pair, err := range kvdb.PairsWith(e.kv, prefix, kvdb.PageOptions{Hidden: true}) {
		e.NoError(err)
		pairs[pair.Key] = writeOf(pair)
	}
	return pairs
}

// write is the last write of a key.
type write struct {
	value             string
	created, modified uint64
}

func writeOf(pair *kvdb.KVPair) write {
	return write{string(pair.Value), pair.CreatedIndex, pair.ModifiedIndex}
}

// cached returns the pairs of a view.
func cached(v *cache.View) map[string]write {
	pairs := map[string]write{}
	for key, pair := range v.All() {
		pairs[key] = writeOf(pair)
	}
	return pairs
}

// A new cache has what is stored, and Range returns what Enumerate does.
func cacheInSync(e *env) {
	for _, key := range e.sideBySide("dir/b", "dir/a", "dir/_hidden", "dir/c/d", "dir/_e/f", "dir/c", "dis", "other") {
		e.put(key, "value of "+key)
	}
	e.put("dir/a", "again")
	for _, prefix := range []string{"", "dir/", "di", "none"} {
		c := e.cacheOf(prefix, nil)
		e.True(c.Synced())
		e.Equal(e.stored(prefix), cached(c.View()), "the cache of %q", prefix)
		keys := []string{}
		for key := range c.Range(prefix) {
			keys = append(keys, key)
		}
		e.Equal(e.enumerate(prefix), keys)
	}
}

// After WaitFor the cache has the program's own write.
func cacheOwnWrites(e *env) {
	c := e.cacheOf("dir/", nil)
	for i := range 20 {
		pair := e.put("dir/key", i)
		e.cacheHas(c, pair.ModifiedIndex)
		held, err := c.Get("dir/key")
		e.NoError(err)
		e.Equal(writeOf(pair), writeOf(held))
		if i%4 == 3 {
			old, err := e.kv.Delete("dir/key")
			e.NoError(err)
			e.cacheHas(c, old.KVDBIndex)
			_, err = c.Get("dir/key")
			e.is(kvdb.ErrNotFound, err)
		}
	}
}

// After WaitFor the cache has a write that the next one has undone, so that a watch may fold both.
func cacheUnseenWrites(e *env) {
	c := e.cacheOf("dir/", nil)
	for range 10 {
		created := e.put("dir/unseen", "value")
		deleted, err := e.kv.Delete("dir/unseen")
		e.NoError(err)
		e.cacheHas(c, created.ModifiedIndex)
		e.cacheHas(c, deleted.KVDBIndex)
		_, err = c.Get("dir/unseen")
		e.is(kvdb.ErrNotFound, err)
		e.True(c.Synced())
	}
}

// The cache shows states of the store only.
func cacheStates(e *env) {
	f := e.followed(true)
	for range 50 { // so that many states are seen
		f.until(6, 0)
		e.cacheHas(f.c, e.put("cached/before", "value").ModifiedIndex)
	}
	f.check()
}

// A cache that begins while others write, and one that has followed, are equal.
func cacheWritesDuringNew(e *env) {
	f := e.followed(false)
	for range 5 {
		f.until(20, 0)
		before := e.put("cached/before", "value")
		c := e.cacheOf("cached/", nil)
		pair, err := c.Get("cached/before")
		e.NoError(err)
		e.Equal(writeOf(before), writeOf(pair), "the pair of a write that ended before New")
		after := e.put("cached/after", "value")
		e.cacheHas(c, after.ModifiedIndex)
		f.others, f.late = append(f.others, c), append(f.late, c.View())
	}
	f.check()
}

// cacheMarks are the keys that the cases themselves write.
var cacheMarks = []string{"cached/before", "cached/after", "cached/end"}

// followed has writers of keys below "cached/", a cache of these, and what was seen of it.
type followed struct {
	e       *env
	c       *cache.Cache
	others  []*cache.Cache // more caches, which must end equal
	late    []*cache.View  // states of these
	lost    chan error     // has an element after the watch of c has ended
	watched *recorder      // a watch from before the first write
	stop    func()         // ends the writers

	views []*cache.View // all states that were seen, once observed is closed
	ended func()        // ends the observer
	over  chan struct{} // closed when the observer has ended

	grown     chan struct{}
	mu        sync.Mutex      // protects the fields below
	attempted map[string]bool // of each key and value
	succeeded int
	failed    int
	wrong     []error // of writes, which no write may return
}

// writePace is the shortest time between two writes of a writer.
const writePace = time.Millisecond

// followed starts the writers. closely makes it collect all states, at the cost of a core.
// Otherwise it misses those that are followed by others at once.
func (e *env) followed(closely bool) *followed {
	f := &followed{e: e, attempted: map[string]bool{}, grown: make(chan struct{}, 1), lost: make(chan error, 1), over: make(chan struct{})}
	f.watched = e.watchTree("cached/", e.index())
	f.c = e.cacheOf("cached/", func(err error) {
		select {
		case f.lost <- err:
		default:
		}
	})
	ctx, cancel := context.WithCancel(e.t.Context())
	var writers sync.WaitGroup
	for writer := range 3 {
		writers.Go(func() {
			pace := time.NewTicker(writePace) // a store in memory would outrun every watch
			defer pace.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				f.write(writer, i)
				<-pace.C
			}
		})
	}
	f.stop = func() { cancel(); writers.Wait() }
	e.t.Cleanup(f.stop)
	observing, end := context.WithCancel(e.t.Context())
	f.ended = func() { end(); <-f.over }
	e.t.Cleanup(f.ended)
	go f.observe(observing, closely)
	return f
}

// observe collects the states of the cache.
func (f *followed) observe(ctx context.Context, closely bool) {
	defer close(f.over)
	for ctx.Err() == nil {
		v := f.c.View()
		f.views = append(f.views, v)
		if !closely {
			_ = f.c.WaitFor(ctx, v.Index()+1) // an error if the store went back
		}
		for closely && ctx.Err() == nil && f.c.View() == v {
			runtime.Gosched()
		}
	}
}

// write makes one write: of a key, of several at once, or of the tree of a writer.
func (f *followed) write(writer, i int) {
	kv, dir, value := f.e.kv, fmt.Sprintf("cached/%d", writer), fmt.Sprint(writer, "-", i)
	keys := []string{dir + "/a", dir + "/b", dir + "/_c"}
	f.mu.Lock()
	for _, key := range keys {
		f.attempted[key+" "+value] = true
	}
	f.mu.Unlock()
	var err error
	switch one := keys[i%len(keys)]; i % 7 {
	case 2, 5:
		if f.e.traits.NoTx || f.e.traits.SingleKeyTx {
			keys = keys[:1]
		}
		err = f.commit(keys, value)
	case 3:
		if _, err = kv.Delete(one); errors.Is(err, kvdb.ErrNotFound) {
			err = nil
		}
	case 6:
		err = kv.DeleteTree(dir)
	default:
		_, err = kv.Put(one, value, 0)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.succeeded++
	case errors.Is(err, kvdb.ErrNoConnection), errors.Is(err, kvdb.ErrUnknownOutcome):
		f.failed++
	default:
		f.wrong = append(f.wrong, fmt.Errorf("write %d of %s: %w", i, dir, err))
	}
	select {
	case f.grown <- struct{}{}:
	default:
	}
}

// commit writes keys in one transaction, or one key without.
func (f *followed) commit(keys []string, value string) error {
	if len(keys) == 1 {
		_, err := f.e.kv.Put(keys[0], value, 0)
		return err
	}
	tx, err := f.e.kv.TxNew()
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := tx.Put(key, value, 0); err != nil {
			return errors.Join(err, tx.Abort())
		}
	}
	return tx.Commit()
}

// until waits until enough writes have succeeded, or failed, since now.
func (f *followed) until(succeeded, failed int) {
	f.e.t.Helper()
	count := func() (int, int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.e.Empty(f.wrong)
		return f.succeeded, f.failed
	}
	succeededBefore, failedBefore := count()
	for deadline := time.Now().Add(recovery); ; {
		waitFor(f.e, f.grown, time.Until(deadline), "writes succeed")
		succeededNow, failedNow := count()
		if succeededNow >= succeededBefore+succeeded && failedNow >= failedBefore+failed {
			return
		}
	}
}

// settle ends the writers, and waits until the caches have the last write.
func (f *followed) settle() {
	e := f.e
	e.t.Helper()
	f.stop()
	f.e.Empty(f.wrong)
	end := e.put("cached/end", "end")
	for _, c := range append(f.others, f.c) {
		ctx, cancel := context.WithTimeout(e.t.Context(), recovery)
		e.NoError(c.WaitFor(ctx, end.ModifiedIndex), "the cache must catch up; it is at %d, and in sync: %v", c.Index(), c.Synced())
		cancel()
		e.True(c.Synced())
	}
	f.ended()
}

// equal asserts that the caches are equal to the store. A delayed request may still change it.
func (f *followed) equal() {
	f.e.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, c := range append(f.others, f.c) {
		isEqual := func() bool { return maps.Equal(f.e.stored("cached/"), cached(c.View())) }
		for deadline := time.Now().Add(patience); !isEqual() && time.Now().Before(deadline); <-tick.C {
		}
		f.e.Equal(f.e.stored("cached/"), cached(c.View()), "the cache is equal to the store within %v", patience)
	}
}

// check ends the writers, and asserts that each state that was seen is one that the store
// had, and that the last one is equal to the store. If updates are folded, it asserts that the
// store had the value of each key.
func (f *followed) check() {
	f.e.t.Helper()
	f.settle()
	f.neverBack()
	if !f.e.traits.FoldedUpdates {
		f.states()
	}
	f.equal()
}

// states asserts that each state that was seen is that of the store at its index.
func (f *followed) states() {
	e := f.e
	e.t.Helper()
	views := slices.SortedStableFunc(slices.Values(slices.Concat(f.views, f.late)), func(a, b *cache.View) int {
		return cmp.Compare(a.Index(), b.Index())
	})
	events := f.watched.until("cached/end")
	state := map[string]write{}
	for _, v := range views {
		for len(events) > 0 && events[0].ModifiedIndex <= v.Index() {
			if event := events[0]; event.Action == kvdb.KVDelete || event.Action == kvdb.KVExpire {
				delete(state, event.Key)
			} else {
				state[event.Key] = writeOf(event)
			}
			events = events[1:]
		}
		if got := cached(v); !maps.Equal(state, got) { // Equal would be slow
			e.Equal(state, got, "the state of the cache at index %d must be that of the store", v.Index())
		}
	}
}

// neverBack asserts that the index and the keys never go back, and that each value was
// written.
func (f *followed) neverBack() {
	e := f.e
	e.t.Helper()
	index, newest := uint64(0), map[string]uint64{}
	for _, v := range f.views {
		e.GreaterOrEqual(v.Index(), index, "the index of the cache")
		e.EqualValues(1, v.Generation())
		index = v.Index()
		for key, pair := range v.All() {
			if pair.ModifiedIndex < newest[key] || pair.ModifiedIndex > index {
				e.FailNow("a key went back, or is newer than the cache", "%v after %d, at %d", pair, newest[key], index)
			}
			newest[key] = pair.ModifiedIndex
			f.mu.Lock()
			ok := f.attempted[key+" "+string(pair.Value)] || slices.Contains(cacheMarks, key)
			f.mu.Unlock()
			if !ok {
				e.FailNow("the cache has a value that nobody wrote", "%v", pair)
			}
		}
	}
}
