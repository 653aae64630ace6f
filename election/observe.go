package election

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

const (
	// pollInterval is how often Observe checks whether the leader still holds its lock. No
	// watch shows that on every store.
	pollInterval = 2 * time.Second
	// answerTime bounds such a check.
	answerTime = 5 * time.Second
)

// Observe iterates over the leaders of the election at key: first the present one, then each
// change. The zero value of [Leader] says that nobody leads. Leaders whose terms end before
// Observe can read who they are may be left out, but the last change never is, and tokens never
// decrease.
//
// A change that a candidate makes, because it leads or resigns, is told at once, by a watch. To
// notice that a leader has died, Observe asks the store every 2 s whether the leader's lock is
// held. So it shows a leader for 2 s and one request longer than its lock lives.
//
// If the store does not answer for 5 s, it is not known who leads. Observe says so with an
// error that wraps [kvdb.ErrNoConnection], and continues: it yields the leader when the store
// answers again. Any other error is the last thing that it yields. When ctx ends, that is an
// error that wraps ctx.Err().
func Observe(ctx context.Context, kv kvdb.Kvdb, key string) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		o := &observer{kv: kvdb.WithContext(ctx, kv), key: key, changed: make(chan struct{}, 1)}
		var watching sync.WaitGroup
		defer watching.Wait()
		defer cancel()
		watching.Go(func() { o.watch(ctx) })
		o.run(ctx, yield)
	}
}

type observer struct {
	kv      kvdb.Kvdb
	key     string
	changed chan struct{} // has an element if the leader may have changed
}

// run yields who leads, whenever that changes.
func (o *observer) run(ctx context.Context, yield func(Leader, error) bool) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var shown Leader
	var failed error // why it is not known who leads
	for first := true; ; first = false {
		leader, err := o.look(ctx)
		switch {
		case ctx.Err() != nil:
			yield(Leader{}, ended(ctx, nil))
			return
		case err != nil && !isTransient(err):
			yield(Leader{}, err)
			return
		case err != nil:
			if failed == nil && !yield(Leader{}, err) {
				return
			}
		case first || failed != nil || leader != shown:
			if !yield(leader, nil) {
				return
			}
			shown = leader
		}
		failed = err
		select {
		case <-o.changed:
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// look asks the store who leads.
func (o *observer) look(ctx context.Context) (Leader, error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	leader, err := Current(kvdb.WithContext(limited, o.kv), o.key)
	if err != nil && limited.Err() != nil {
		return Leader{}, fmt.Errorf("%w: no answer within %v: %w", kvdb.ErrNoConnection, answerTime, err)
	}
	return leader, err
}

// watch keeps a watch of the record until ctx ends. If the store has no watches, only polling
// shows changes.
func (o *observer) watch(ctx context.Context) {
	backoff := retry.Backoff{Min: 100 * time.Millisecond, Max: pollInterval}
	for {
		over := make(chan struct{})
		err := o.kv.WatchKey(recordKey(o.key), 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
			o.signal()
			if err != nil {
				close(over)
			}
			return err
		})
		switch {
		case errors.Is(err, kvdb.ErrNotSupported):
			return
		case err == nil:
			o.signal() // the record may have changed before the watch began
			select {
			case <-over:
			case <-ctx.Done():
			}
			backoff.Reset()
		}
		if backoff.Wait(ctx) != nil {
			return
		}
	}
}

// signal makes run look at once.
func (o *observer) signal() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}
