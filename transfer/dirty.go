package transfer

import (
	"maps"
	"slices"
	"sync"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/reserved"
)

// dirty is the set of keys that have changed at the source and are to be looked at. The watch
// adds keys and never waits.
type dirty struct {
	changed chan struct{} // has an element when keys were added

	mu      sync.Mutex        // protects the fields below
	keys    map[string]uint64 // with the index of the last event
	index   uint64            // of the last event
	puts    int               // the number of events of writes
	deletes int               // that of deletions
	// untold are keys of which the watch may not know, nil if its watches tell all. See
	// newDirty.
	untold map[string]struct{}
	known  uint64
}

// newDirty returns an empty set.
//
// A watch that folds changes (Consul, ZooKeeper) does not tell of a key that was created after
// it has looked at the store and deleted before it looks again. A base pass that read the key
// in between has copied it. So keys that were created after the index known are looked at again
// until the watch has told of them. If known is nil the watch tells all changes.
func newDirty(known *uint64) *dirty {
	d := &dirty{changed: make(chan struct{}, 1), keys: map[string]uint64{}}
	if known != nil {
		d.untold, d.known = map[string]struct{}{}, *known
	}
	return d
}

// notify adds the keys of events.
func (d *dirty) notify(events kvdb.KVPairs) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, event := range events {
		d.index = max(d.index, event.ModifiedIndex)
		if reserved.IsTransfer(event.Key) {
			continue
		}
		d.keys[event.Key] = max(d.keys[event.Key], event.ModifiedIndex)
		delete(d.untold, event.Key)
		if event.Action == kvdb.KVDelete || event.Action == kvdb.KVExpire {
			d.deletes++
		} else {
			d.puts++
		}
	}
	d.wake()
}

// wake must be called with mu held.
func (d *dirty) wake() {
	if len(d.keys) > 0 {
		select {
		case d.changed <- struct{}{}:
		default: // it has an element
		}
	}
}

// add adds keys, which are to be looked at whatever the base pass reads later.
func (d *dirty) add(keys ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range keys {
		d.keys[key] = ^uint64(0)
	}
	d.wake()
}

// addUntold adds the keys of which the watch may not know.
func (d *dirty) addUntold() {
	d.mu.Lock()
	untold := slices.Collect(maps.Keys(d.untold))
	d.mu.Unlock()
	d.add(untold...)
}

// missing notes that a key does not exist.
func (d *dirty) missing(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.untold, key)
}

// read removes a key of which the base pass has read a pair that is as new as the last event.
func (d *dirty) read(pair *kvdb.KVPair) {
	if pair == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if index, is := d.keys[pair.Key]; is && index <= pair.ModifiedIndex {
		delete(d.keys, pair.Key)
	} else if !is && d.untold != nil && pair.CreatedIndex > d.known {
		d.untold[pair.Key] = struct{}{}
	}
}

// take removes up to n keys and returns them, sorted. If that is all, index is that of the last
// event.
func (d *dirty) take(n int) (keys []string, index uint64, all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.keys {
		if len(keys) == n {
			break
		}
		keys = append(keys, key)
	}
	for _, key := range keys {
		delete(d.keys, key)
	}
	slices.Sort(keys)
	return keys, d.index, len(d.keys) == 0
}

// len returns the number of keys.
func (d *dirty) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.keys)
}

// events returns the numbers of events so far.
func (d *dirty) events() (puts, deletes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.puts, d.deletes
}
