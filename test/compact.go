package test

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/portworx/kvdb"
)

var compactGroup = group{name: "Compact", calls: "Compact, length of the history", cases: []testCase{
	{name: "Compact", run: compactCompact, alone: true},
	{name: "Bound", run: compactBound, alone: true, needs: []*part{watchPart}},
	{name: "AllTheTime", run: compactAllTheTime, alone: true},
}}

// Past the end of the history a watch gets ErrWatchRevisionCompacted, once.
func compactCompact(e *env) {
	var indexes []uint64
	for i := range 10 {
		indexes = append(indexes, e.put("dir/"+strconv.Itoa(i), "value").ModifiedIndex)
	}
	if e.traits.NoCompact {
		e.unsupported = true
		e.is(kvdb.ErrNotSupported, e.kv.Compact(indexes[8]))
		return
	}
	running := e.watchTree("dir/", indexes[0])
	for _, index := range indexes[1:] {
		running.seesIndex(index)
	}
	e.NoError(e.kv.Compact(indexes[8]))
	e.tooLate("dir/", indexes[0])
	e.tooLate("dir/", indexes[5])
	r := e.watchTree("dir/", indexes[8])
	r.seesIndex(indexes[9])
	now := e.watchTree("dir/", 0)
	live := e.put("dir/live", "value")
	r.seesIndex(live.ModifiedIndex)
	running.seesIndex(live.ModifiedIndex)
	now.until("dir/live")
	e.Len(e.enumerate("dir/"), 11)
}

// tooLate asserts that a watch from index asks for more than is retained.
func (e *env) tooLate(prefix string, index uint64) {
	e.t.Helper()
	tree, key := e.watchTree(prefix, index), e.watchKey(prefix+"0", index)
	tree.ends(kvdb.ErrWatchRevisionCompacted)
	key.ends(kvdb.ErrWatchRevisionCompacted)
}

// The history is as long as is promised, and not much longer.
func compactBound(e *env) {
	history := e.traits.History
	if history == 0 {
		return // cut by Compact alone
	}
	e.except("a watch can go back %d events", history)
	const writers = 64
	each := 2*history/writers + 10
	var mu sync.Mutex // protects indexes
	var indexes []uint64
	e.concurrently(writers, func(i int) error {
		for range each {
			pair, err := e.kv.Put("dir/"+strconv.Itoa(i), "value", 0)
			if err != nil {
				return err
			}
			mu.Lock()
			indexes = append(indexes, pair.ModifiedIndex)
			mu.Unlock()
		}
		return nil
	})
	slices.Sort(indexes)
	e.tooLate("dir/", indexes[0])
	back := len(indexes) - history
	e.Equal(indexes[back+1], e.watchTree("dir/", indexes[back]).next().ModifiedIndex)
}

// Calls that do not ask for the past work while another client compacts the whole history
// repeatedly.
func compactAllTheTime(e *env) {
	if e.traits.NoCompact {
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	writer := e.peer()
	compact := func(int) error {
		<-tick.C
		pair, err := writer.Put("compacted", "value", 0)
		if err == nil {
			err = e.kv.Compact(pair.ModifiedIndex)
		}
		return err
	}
	locker := e.peer()
	e.put("dir/key", "value")
	e.during(compact, 25, func(i int) {
		key := "dir/" + strconv.Itoa(i)
		r := e.newRecorder(func(_ int, c event) error {
			if c.pair != nil && c.pair.Key == key {
				return errEnough
			}
			return nil
		})
		r = e.watches("WatchTree", r, e.kv.WatchTree("dir/", 0, nil, r.callback))
		e.put(key, "value")
		r.until(key)
		r.ends(kvdb.ErrWatchStopped)
		_, err := e.kv.Delete(key)
		e.NoError(err)

		if snapshot, _ := e.snapshot("dir/"); snapshot != nil {
			pairs, err := snapshot.Enumerate("dir/")
			e.NoError(err)
			e.Equal([]string{"dir/key"}, keysOf(pairs))
		}

		lock := e.lock(e.kv, "lock", "me")
		if lock == nil {
			return
		}
		waited := make(chan error, 1)
		go func() {
			next, err := locker.LockWithTimeout("lock", "other", patience, 0)
			if err == nil {
				err = locker.Unlock(next)
			}
			waited <- err
		}()
		e.NoError(e.kv.Unlock(lock))
		e.NoError(wait(e, waited, "the client that waits for the lock obtains it"))
	})
}
