package kvdb

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
)

// ReplayCb is a callback of [UpdatesCollector] and the updates that it receives.
type ReplayCb struct {
	// Prefix selects the updates of keys that begin with it.
	Prefix string
	// WaitIndex selects the updates whose ModifiedIndex is larger.
	WaitIndex uint64
	// Opaque is handed to WatchCB.
	Opaque interface{}
	// WatchCB is called with each selected update.
	WatchCB WatchCB
}

// UpdatesCollector collects the updates of a tree, to replay them later.
type UpdatesCollector interface {
	// Stop ends the collection.
	Stop()
	// ReplayUpdates calls the callbacks with the collected updates, in order. It
	// returns the ModifiedIndex of the last update, or the start index if there is
	// none.
	//
	// An error of a callback ends the replay and is returned, with an index from which
	// a watch delivers the updates that are left. If the collector's watch ended with
	// an error, that error is returned after the replay of the earlier updates. A
	// replay can be repeated: it starts from the first update again.
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

	mu      sync.Mutex // protects the fields below
	updates []update
	err     error // that ended the watch before Stop, or nil
}

// NewUpdatesCollector returns a collector of the updates of keys that begin with
// prefix and whose ModifiedIndex is larger than startIndex.
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
		if c.err == nil { // keep the first
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
