package test

import (
	"errors"
	"strconv"
	"sync"

	"github.com/portworx/kvdb"
)

// startStorm writes to ten keys from several goroutines and two instances, and finally to
// "storm/end". finish waits for the writes and returns them: index to key and value.
func (e *env) startStorm() (finish func() map[uint64]string) {
	const writers, each = 6, 40
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	var mu sync.Mutex // protects written
	written := map[uint64]string{}
	write := func(kv kvdb.Kvdb, key, value string) error {
		pair, err := kv.Put(key, value, 0)
		if err == nil {
			mu.Lock()
			written[pair.ModifiedIndex] = key + "=" + value
			mu.Unlock()
		}
		return err
	}
	finished := make(chan error, 1)
	go func() {
		err := errors.Join(concurrently(writers, func(i int) error {
			for j := range each {
				if err := write(kvs[i%2], "storm/"+strconv.Itoa(j%10), strconv.Itoa(i*each+j)); err != nil {
					return err
				}
			}
			return nil
		})...)
		finished <- errors.Join(err, write(kvs[0], "storm/end", "value"))
	}()
	return func() map[uint64]string {
		e.t.Helper()
		e.NoError(wait(e, finished, "the writers return"))
		return written
	}
}

// follow asserts that the events of a watch are the writes of a storm, in order, each once.
// If updates are folded, it asserts that the last event of each key is its last state.
func (e *env) follow(r *recorder, written map[uint64]string) {
	e.t.Helper()
	last := map[string]uint64{}
	latest, n := uint64(0), 0
	for _, event := range r.until("storm/end") {
		n++
		e.Equal(written[event.ModifiedIndex], event.Key+"="+string(event.Value), "the event with the index %d", event.ModifiedIndex)
		e.Greater(event.ModifiedIndex, last[event.Key], "the ModifiedIndex of an event of %s; the events of a key must never go back", event.Key)
		last[event.Key] = event.ModifiedIndex
		if !e.traits.FoldedUpdates {
			e.Greater(event.ModifiedIndex, latest, "the ModifiedIndex of an event; events must come in order, unless Traits.FoldedUpdates is set")
		}
		latest = event.ModifiedIndex
	}
	pairs, err := e.kv.Enumerate("storm/")
	e.NoError(err)
	for _, pair := range pairs {
		e.Equal(pair.ModifiedIndex, last[pair.Key], "the ModifiedIndex of the last event of %s must be that of its pair", pair.Key)
	}
	if e.traits.FoldedUpdates {
		e.except("updates of one key may be folded")
		return
	}
	e.Len(written, n, "the watch must deliver an event for every write, unless Traits.FoldedUpdates is set")
}
