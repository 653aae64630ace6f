// Package election elects a leader among the processes that share a store. Each of them calls
// [Run] with the same key. One at a time leads; when it ends, another one follows. [Observe]
// tells any process who leads.
//
// A leader holds a lock of the store, so the rules of locks apply:
//
//   - The leader's context ends before another candidate can obtain the lock by expiry, also if
//     the store cannot be reached. A timer on the leader's monotonic clock decides this. The
//     timer is earlier than the expiry in the store by a margin, so the clocks of the leader and
//     of the store need not agree about the time. Their rates must not differ by more than the
//     margin's share of the lock's time to live, which is 4 % or more.
//   - A process that is stopped, or whose machine is suspended, learns only when it runs again
//     that it does not lead any more. The same holds if somebody removes the lock by force.
//     Therefore guard writes to the store with [kvdb.TxGuard], and give the token of the [Term]
//     to whatever else the leader changes.
package election

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/fatalcb"
	"github.com/portworx/kvdb/internal/retry"
)

// ErrLost is the cause of the end of a leader's context when another candidate may lead.
var ErrLost = errors.New("leadership is lost")

// Leader is a candidate that leads. The zero value means that nobody leads.
type Leader struct {
	// ID is the ID that the candidate gave to Run.
	ID string
	// Token is the fencing token. Each later leader of a key has a larger one.
	Token uint64
}

// Term is the time during which one candidate leads.
type Term struct {
	Leader
	// Lock is the pair of the lock that the leader holds, for kvdb.TxGuard. Only Run may
	// unlock it.
	Lock *kvdb.KVPair
}

const (
	// tryTime is the time after which a candidate begins to wait for the lock again. It is
	// long because the candidate then waits behind all others.
	tryTime = time.Hour
	// settled is the duration of a term after which the next failure is not a repeated one.
	settled = 10 * time.Second
	// resignTime bounds the request that records a resignation.
	resignTime = 2 * time.Second
)

// Run waits until it obtains the lock at key, and then calls lead, which leads until it
// returns. id is the ID of the candidate, which should differ in each process.
//
// The context of lead ends when ctx ends, or with the cause [ErrLost] when the lock is lost.
// Another candidate may lead soon afterwards, so lead must return then. Run calls lead again
// only after it has returned.
//
//   - If the lock was lost, Run waits for the lock again, whatever lead returned.
//   - If ctx has ended, Run resigns and returns an error that wraps ctx.Err() and the error of
//     lead.
//   - Otherwise lead has returned by itself. Run resigns and returns its error. The error nil
//     means that the work is done: to stay a candidate, call Run again.
//
// To resign means to release the lock, so that the next candidate leads at once. Run does so
// also if lead panics. If the store cannot be reached, Run returns that error, and the lock is
// released in the background.
//
// While the store cannot be reached, Run tries again. It returns other errors, for example
// [kvdb.ErrClosed], [kvdb.ErrNotSupported] or one that wraps [kvdb.ErrPermission].
//
// The hold duration of the instance does not apply to the lock. Its fatal callback is not
// called, because lead is told. kv must not be a view of [kvdb.WithContext] that ends with
// ctx, because Run needs it afterwards to resign.
func Run(ctx context.Context, kv kvdb.Kvdb, key, id string, lead func(ctx context.Context, term Term) error) error {
	if id == "" {
		return fmt.Errorf("%w: the ID of a candidate must not be empty", kvdb.ErrIllegal)
	}
	c := candidate{kv: kv, key: key, id: id, lead: lead}
	backoff := retry.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for {
		began := time.Now()
		again, err := c.serve(ctx)
		switch {
		case ctx.Err() != nil:
			return ended(ctx, err)
		case !again:
			return err
		}
		if time.Since(began) > settled {
			backoff.Reset()
		}
		if backoff.Wait(ctx) != nil {
			return ended(ctx, nil)
		}
	}
}

// candidate has the arguments of Run.
type candidate struct {
	kv      kvdb.Kvdb
	key, id string
	lead    func(context.Context, Term) error
}

// serve waits for the lock and leads for one term. It reports whether the candidate must wait
// for the lock again.
func (c *candidate) serve(ctx context.Context) (again bool, err error) {
	lock, err := kvdb.WithContext(fatalcb.Without(ctx), c.kv).LockWithTimeout(c.key, c.id, tryTime, 0)
	if err != nil {
		return isTransient(err), err
	}
	held, ok := lock.Lock.(kvdb.HeldLock)
	if !ok { // the backend is not one of this module
		return false, errors.Join(kvdb.ErrNotSupported, c.kv.Unlock(lock))
	}
	leading, end := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-held.Lost():
			end(ErrLost)
		case <-leading.Done():
		}
	}()
	var published *kvdb.KVPair
	defer func() { // also if lead panics
		again = again || isLost(held)
		end(nil)
		if resignErr := c.resign(ctx, lock, published, again); err == nil && !again {
			err = resignErr
		}
	}()
	leader := Leader{ID: c.id, Token: held.Token()}
	published, err = publish(leading, c.kv, recordKey(c.key), leader)
	if err != nil {
		return isTransient(err), err
	}
	return false, c.lead(leading, Term{Leader: leader, Lock: lock})
}

// isLost reports whether a lock is lost.
func isLost(held kvdb.HeldLock) bool {
	select {
	case <-held.Lost():
		return true
	default:
		return false
	}
}

// resign releases the lock, unless it is lost. Before, it records that nobody leads. If that
// fails, observers find out from the lock.
func (c *candidate) resign(ctx context.Context, lock, published *kvdb.KVPair, lost bool) error {
	ctx = context.WithoutCancel(ctx)
	if published != nil && !lost {
		limited, cancel := context.WithTimeout(ctx, resignTime)
		defer cancel()
		_ = retract(kvdb.WithContext(limited, c.kv), published)
	}
	err := kvdb.WithContext(ctx, c.kv).Unlock(lock)
	if errors.Is(err, kvdb.ErrInvalidLock) { // it is lost
		return nil
	}
	return err
}

// isTransient reports whether a call may succeed later.
func isTransient(err error) bool {
	for _, cause := range []error{kvdb.ErrExist, kvdb.ErrNoConnection, kvdb.ErrUnknownOutcome, kvdb.ErrNoQuorum, errOutdated} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// ended returns the error of a call whose context has ended. err is what else went wrong, or
// nil.
func ended(ctx context.Context, err error) error {
	for _, cause := range []error{context.Cause(ctx), ctx.Err()} {
		switch {
		case err == nil:
			err = cause
		case !errors.Is(err, cause):
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}
	return err
}
