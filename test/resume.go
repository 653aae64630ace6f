package test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/portworx/kvdb"
)

var resumeGroup = group{name: "Resume", calls: "watches from an index", needs: []*part{watchPart}, cases: []testCase{
	{name: "FromAnIndex", run: resumeFromAnIndex},
	{name: "OneKey", run: resumeOneKey},
	{name: "PastDeletion", run: resumePastDeletion},
	{name: "FromARead", run: resumeFromARead},
	{name: "Recreated", run: resumeRecreated},
	{name: "FromNow", run: resumeFromNow},
	{name: "FromTheFuture", run: resumeFromTheFuture},
	{name: "WithoutGapOrRepeat", run: resumeWithoutGapOrRepeat},
	{name: "Collector", run: resumeCollector},
}}

const everyLater = "a watch from an index must deliver every event with a larger index, past and future, in order"

// A watch from index N gets every event with a larger index, past and future.
func resumeFromAnIndex(e *env) {
	var indexes []uint64
	for i := range 10 {
		indexes = append(indexes, e.put("dir/"+strconv.Itoa(i), "value").ModifiedIndex)
		e.put("noise", "value")
	}
	var watches []*recorder
	for _, waitIndex := range indexes {
		watches = append(watches, e.watchTree("dir/", waitIndex))
	}
	indexes = append(indexes, e.put("dir/10", "live").ModifiedIndex)
	for from, r := range watches {
		for i := from + 1; i < len(indexes); i++ {
			event := r.next()
			e.Equal("dir/"+strconv.Itoa(i), event.Key, everyLater)
			e.Equal(indexes[i], event.ModifiedIndex, everyLater)
			e.acted(kvdb.KVCreate, event, "the event of "+event.Key+", which a write created,")
		}
	}
	old, err := e.kv.Delete("dir/10")
	e.NoError(err)
	for _, r := range watches {
		event := r.next()
		e.acted(kvdb.KVDelete, event, "the event of a delete")
		e.Equal(old.KVDBIndex, event.ModifiedIndex, "the ModifiedIndex in the event of a delete, which is the index of the delete")
	}
}

func resumeOneKey(e *env) {
	var indexes []uint64
	for i := range 5 {
		indexes = append(indexes, e.put("key", strconv.Itoa(i)).ModifiedIndex)
		e.put("key2", "value")
	}
	r := e.watchKey("key", indexes[1])
	if e.traits.FoldedUpdates {
		event := r.next()
		for event.ModifiedIndex < indexes[4] {
			e.Greater(event.ModifiedIndex, indexes[1], everyLater)
			event = r.next()
		}
		e.Equal("4", string(event.Value), "the last event must have the last value")
	} else {
		for i := 2; i < 5; i++ {
			event := r.next()
			e.Equal(indexes[i], event.ModifiedIndex, everyLater)
			e.Equal(strconv.Itoa(i), string(event.Value), "the Value in the event must be that of its write")
			e.acted(kvdb.KVSet, event, "the event of a write of a key that exists")
			e.Equal(indexes[0], event.CreatedIndex, createdStays)
		}
	}
	e.put("key", "live")
	e.Equal("live", string(r.next().Value), everyLater)
}

func resumePastDeletion(e *env) {
	start := e.put("key", "value")
	old, err := e.kv.Delete("key")
	e.NoError(err)
	r := e.watchTree("", start.ModifiedIndex)
	e.put("end", "value")
	event := r.next()
	if e.traits.NoPastDeletions {
		e.except("past deletions are not known")
		e.Equal("end", event.Key, "the key of the next event, because Traits.NoPastDeletions is set")
		return
	}
	e.Equal("key", event.Key, "the key of the next event, which must be the deletion after the wait index; see Traits.NoPastDeletions")
	e.acted(kvdb.KVDelete, event, "the event of a past delete")
	e.Equal(old.KVDBIndex, event.ModifiedIndex, "the ModifiedIndex in the event of a delete, which is the index of the delete")
	e.Equal("end", r.next().Key, everyLater)
}

// A list and a watch from the index of the list together have every write.
func resumeFromARead(e *env) {
	e.put("dir/key", "1")
	pair := e.holds("dir/key", "1")
	pairs, err := e.kv.Enumerate("dir/")
	e.NoError(err)
	later := e.put("dir/key", "2")
	for _, index := range []uint64{pair.KVDBIndex, pairs[0].KVDBIndex} {
		e.Equal(later.ModifiedIndex, e.watchTree("dir/", index).next().ModifiedIndex, "a watch from the KVDBIndex of a read must begin with the first write after the read")
	}

	type read struct {
		content map[string]uint64 // key → ModifiedIndex
		rest    *recorder
	}
	var reads []read
	e.put("storm/0", "first")
	finish := e.startStorm()
	for range 10 {
		pairs, err := e.kv.Enumerate("storm/")
		e.NoError(err)
		content := map[string]uint64{}
		for _, pair := range pairs {
			content[pair.Key] = pair.ModifiedIndex
		}
		reads = append(reads, read{content, e.watchTree("storm/", pairs[0].KVDBIndex)})
	}
	written := finish()
	e.put("storm/last", "value")
	pairs, err = e.kv.Enumerate("storm/")
	e.NoError(err)
	for _, r := range reads {
		events := map[uint64]bool{}
		for _, event := range r.rest.until("storm/last") {
			events[event.ModifiedIndex] = true
			r.content[event.Key] = event.ModifiedIndex
		}
		for _, pair := range pairs {
			e.Equal(pair.ModifiedIndex, r.content[pair.Key], "the ModifiedIndex of the last event of %s", pair.Key)
		}
		if e.traits.FoldedUpdates {
			continue
		}
		for index, what := range written {
			key, _, _ := strings.Cut(what, "=")
			e.True(events[index] || index <= r.content[key], "the watch did not deliver the event with the index %d", index)
		}
	}
}

// A key that is deleted and created again, in the past or while the callback is slow, is a
// deletion and a creation each time, not an update.
func resumeRecreated(e *env) {
	start := e.put("dir/before", "value")
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	live := e.newRecorder(func(int, event) error { <-released; return nil })
	e.watches("WatchTree", live, e.kv.WatchTree("dir/", start.ModifiedIndex, nil, live.callback))
	e.put("dir/key", "seen")
	e.Equal("dir/key", live.next().Key, everyLater)
	actions := []kvdb.KVAction{kvdb.KVCreate}
	for range 3 {
		_, err := e.kv.Delete("dir/key")
		e.NoError(err)
		e.put("dir/key", "new")
		e.put("dir/key", "changed")
		actions = append(actions, kvdb.KVDelete, kvdb.KVCreate, kvdb.KVSet)
	}
	last := e.holds("dir/key", "changed").ModifiedIndex
	past := e.watchTree("dir/", start.ModifiedIndex)
	e.put("dir/end", "value")
	actions = append(actions, kvdb.KVCreate)
	release()
	for r, want := range map[*recorder][]kvdb.KVAction{live: actions[1:], past: actions} {
		events := r.until("dir/end")
		var seen []kvdb.KVAction
		for _, event := range events {
			seen = append(seen, event.Action)
		}
		if !e.traits.FoldedUpdates {
			e.Equal(fmt.Sprint(want), fmt.Sprint(seen), "the Actions of the events of a key that is deleted and created again")
			continue
		}
		e.Equal(last, events[len(events)-2].ModifiedIndex, "the last event of a key must have the index of its last write")
		if r == live {
			e.Contains(seen, kvdb.KVDelete, "the events must include the deletion of a key that the watch has seen")
		}
	}
}

// With the wait index 0 a watch gets future events; some stores deliver the history first.
func resumeFromNow(e *env) {
	e.put("dir/key", "1")
	e.put("dir/key", "2")
	_, err := e.kv.Delete("dir/key")
	e.NoError(err)
	key, tree := e.watchKey("dir/key", 0), e.watchTree("dir/", 0)
	live := e.put("dir/key", "live")
	for _, r := range []*recorder{key, tree} {
		if e.traits.HistoryFirst {
			e.except("wait index 0 gives the retained history first")
			for _, action := range []kvdb.KVAction{kvdb.KVCreate, kvdb.KVSet, kvdb.KVDelete} {
				event := r.next()
				e.acted(action, event, "an event of the history, which comes first because Traits.HistoryFirst is set,")
				e.Less(event.ModifiedIndex, live.ModifiedIndex, "the ModifiedIndex of an event of the history must be smaller than that of a later write")
			}
		}
		e.Equal(live.ModifiedIndex, r.next().ModifiedIndex, "a watch with the wait index 0 must begin with the first write after the call, unless Traits.HistoryFirst is set")
	}
}

// A watch with a future wait index does not get the events up to it.
func resumeFromTheFuture(e *env) {
	future := e.put("key", "0").ModifiedIndex + 5
	r := e.watchKey("key", future)
	for i := 1; ; i++ {
		if put := e.put("key", strconv.Itoa(i)); put.ModifiedIndex > future {
			e.Equal(put.ModifiedIndex, r.next().ModifiedIndex, "a watch with a future wait index must begin with the first write that has a larger index")
			return
		}
	}
}

// A watcher that repeatedly stops and resumes sees the same events as one that never stops.
func resumeWithoutGapOrRepeat(e *env) {
	whole := e.watchTree("storm/", e.index())
	pieces := e.record(nil)
	index := e.holds("before", "value").ModifiedIndex
	finish := e.startStorm()
	for n := 1; ; n = n%7 + 1 {
		piece := e.newRecorder(func(calls int, _ event) error {
			if calls == n {
				return errEnough
			}
			return nil
		})
		e.watches("WatchTree", piece, e.kv.WatchTree("storm/", index, nil, piece.callback))
		end := false
		for range n {
			event := piece.next()
			index, end = event.ModifiedIndex, event.Key == "storm/end"
			_ = pieces.callback("", nil, event, nil) // always nil
			if end {
				break
			}
		}
		if end {
			break
		}
		piece.ends(kvdb.ErrWatchStopped)
	}
	_ = pieces.callback("", nil, nil, kvdb.ErrWatchStopped)
	written := finish()
	e.follow(whole, written)
	e.follow(pieces, written)
}

// A collector replays the updates after its index, to each callback those that it selects.
func resumeCollector(e *env) {
	start := e.put("dir/before", "value").ModifiedIndex
	first := e.put("dir/1", "value").ModifiedIndex
	collector, err := kvdb.NewUpdatesCollector(e.kv, "dir/", start)
	e.NoError(err)
	e.put("other", "value")
	second := e.put("dir/2", "value").ModifiedIndex
	third := e.put("dir/3", "value").ModifiedIndex
	replay := func(prefix string, waitIndex uint64) (seen []uint64, version uint64) {
		version, err := collector.ReplayUpdates([]kvdb.ReplayCb{{
			Prefix: prefix, WaitIndex: waitIndex, Opaque: "mine",
			WatchCB: func(_ string, opaque interface{}, pair *kvdb.KVPair, err error) error {
				e.Equal("mine", opaque, "the opaque argument must be that of the ReplayCb")
				seen = append(seen, pair.ModifiedIndex)
				return err
			},
		}})
		e.NoError(err)
		return seen, version
	}
	e.eventually(func() bool { _, version := replay("", 0); return version >= third }, "the collector has the last update")
	collects := func(prefix string, waitIndex uint64, want ...uint64) {
		e.t.Helper()
		seen, version := replay(prefix, waitIndex)
		e.Equal(want, seen, "the indexes of the updates that ReplayUpdates replays")
		e.Equal(third, version, "the version that ReplayUpdates returns, which is the index of the last update")
	}
	collects("", 0, first, second, third)
	collects("dir/", first, second, third)
	collects("dir/3", start, third)
	collector.Stop()
	collects("dir/", start, first, second, third)
}
