package kvdb

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
)

// ReplayCb provides info required for replay
type ReplayCb struct {
	// Prefix is the watch key/tree prefix
	Prefix string
	// WaitIndex is the index after which updates must be returned
	WaitIndex uint64
	// Opaque is a hint returned by the caller
	Opaque interface{}
	// WatchCB is the watch callback
	WatchCB WatchCB
}

// UpdatesCollector collects updates from kvdb.
type UpdatesCollector interface {
	// Stop collecting updates
	Stop()
	// ReplayUpdates replays the collected updates.
	// Returns the version until the replay's were done
	// and any errors it encountered.
	//
	// Each update goes, in order, to every callback whose Prefix its key has and
	// whose WaitIndex is below its ModifiedIndex. The version is the
	// ModifiedIndex of the last update replayed, or the start index without one.
	// An error of a callback ends the replay and is returned; the version is then
	// one from which a watch delivers all that is left. When the watch
	// behind the collector broke, what came before is replayed and then the
	// watch's error is returned. A replay takes nothing away: the next one starts
	// from the first update again.
	ReplayUpdates(updateCb []ReplayCb) (uint64, error)
}

type update struct {
	prefix string
	pair   *KVPair
}

type updatesCollector struct {
	stop       context.CancelFunc
	ctx        context.Context
	startIndex uint64

	mu      sync.Mutex // protects what is below
	updates []update
	err     error // ended the watch, if that was not Stop
}

// NewUpdatesCollector returns a collector of the updates of keys with the prefix,
// starting at startIndex + 1 index.
func NewUpdatesCollector(
	db Kvdb,
	prefix string,
	startIndex uint64,
) (UpdatesCollector, error) {
	ctx, stop := context.WithCancel(context.Background())
	c := &updatesCollector{ctx: ctx, stop: stop, startIndex: startIndex}
	if err := WithContext(ctx, db).WatchTree(prefix, startIndex, nil, c.collect); err != nil {
		stop()
		return nil, err
	}
	return c, nil
}

func (c *updatesCollector) collect(prefix string, _ interface{}, pair *KVPair, err error) error {
	if c.ctx.Err() != nil {
		return ErrWatchStopped
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.err == nil { // the first one counts
			c.err = err
		}
		return err
	}
	c.updates = append(c.updates, update{prefix, pair})
	return nil
}

func (c *updatesCollector) Stop() { c.stop() }

func (c *updatesCollector) ReplayUpdates(callbacks []ReplayCb) (uint64, error) {
	for _, cb := range callbacks {
		if cb.WatchCB == nil {
			return c.startIndex, fmt.Errorf("%w: no replay callback given", ErrIllegal)
		}
	}
	c.mu.Lock()
	updates, watchErr := c.updates, c.err
	c.mu.Unlock()
	version, current := c.startIndex, c.startIndex
	for _, u := range updates {
		if u.pair.ModifiedIndex != current { // the keys of a transaction may share one
			version, current = current, u.pair.ModifiedIndex
		}
		for _, cb := range callbacks {
			if u.pair.ModifiedIndex <= cb.WaitIndex || !strings.HasPrefix(u.pair.Key, cb.Prefix) {
				continue
			}
			pair := *u.pair
			pair.Value = bytes.Clone(pair.Value)
			if err := cb.WatchCB(u.prefix, cb.Opaque, &pair, nil); err != nil {
				return version, err
			}
		}
	}
	return current, watchErr
}
