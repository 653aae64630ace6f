package transfer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

var (
	// ErrIncompatible is wrapped by the error of Copy if the target cannot hold a pair of the
	// source.
	ErrIncompatible = errors.New("the target cannot hold pairs of the source")
	// ErrOverlap means that source and target are the same store and that the domain of one
	// contains the other's.
	ErrOverlap = errors.New("source and target are one store with overlapping domains")
	// ErrTakenOver means that another copy has used the target since this one lost its lock.
	ErrTakenOver = errors.New("another copy has taken over the target")
	// ErrChanging means that the source is still being written, so the two sides cannot be
	// proved equal.
	ErrChanging = errors.New("the source is still changing")
)

// TTLMode says what becomes of the TTLs of the source's pairs.
type TTLMode string

const (
	// TTLKeep writes a pair with the time that it has left. If that is less than the target's
	// smallest TTL, that one is taken: the pair is deleted when it expires at the source. It
	// is the default.
	TTLKeep TTLMode = "keep"
	// TTLDrop writes pairs without a TTL.
	TTLDrop TTLMode = "drop"
	// TTLFail treats a pair that expires as one that the target cannot hold.
	TTLFail TTLMode = "fail"
)

// Options are the options of [Copy]. The zero value copies all keys, deletes nothing that only
// the target has, and ends when both sides are equal.
type Options struct {
	// Prefix limits the copy to the keys that begin with it.
	Prefix string
	// TTL is the mode for TTLs. The default is TTLKeep.
	TTL TTLMode
	// Skip leaves out the pairs that the target cannot hold. Otherwise they are an error that
	// wraps ErrIncompatible, and nothing is written. Where only the server knows how large a
	// value may be (kvdb.Limits.ServerDefaults), Skip takes its default, and otherwise the
	// server decides: the error of the write wraps kvdb.ErrTooLarge.
	Skip bool
	// Delete deletes the keys that only the target has. Otherwise they are counted. Without it,
	// a key that the source deletes while Copy cannot watch it (because the process was
	// killed, or the watch was compacted) stays at the target.
	Delete bool
	// Workers is the number of reads of changed keys, and of transactions, that run at a
	// time. If it is not positive, the default is used.
	Workers int
	// LockWait is how long Copy waits for the lock at the target. The default is 30 s, which
	// is longer than the lock of a copy that was killed.
	LockWait time.Duration
	// StateFile is the path of a file by which a copy that was interrupted continues where it
	// was. It saves time only. Without it, or if it does not fit, both sides are compared
	// from the beginning.
	StateFile string
	// Follow makes Copy apply changes of the source until ctx ends.
	Follow bool
	// CutOver is called, on a goroutine of its own, when the target has caught up with the
	// source. Changes are applied meanwhile. When it returns nil, nobody may write to the
	// source any more, and Copy proves that both sides are equal and returns. Its error ends
	// Copy.
	CutOver func(ctx context.Context) error
	// Progress is called, one call at a time, when there is progress. Copy waits for it.
	Progress func(Progress)
	// OnError is called with each error after which Copy tries again, one call at a time.
	OnError func(error)
}

// Phase is a phase of a copy.
type Phase string

// The phases of a copy. PhaseBase comes again when a copy has to start over.
const (
	PhaseCheck  Phase = "check"  // see whether the target can hold the source
	PhaseBase   Phase = "base"   // compare both sides and write the differences
	PhaseTail   Phase = "tail"   // apply the changes of the source
	PhaseVerify Phase = "verify" // compare both sides until there is no difference
	PhaseDone   Phase = "done"
)

// Progress is what a copy has done so far.
type Progress struct {
	// Phase is the phase that runs.
	Phase Phase `json:"phase"`
	// Keys is the number of keys that this phase has compared or, in PhaseTail, looked at.
	Keys int `json:"keys"`
	// Written is the number of pairs, in all phases, that were written to the target,
	// deletions included. Deleted is the number of deletions that were sent, also if they had
	// to be repeated. Bytes is the size of keys and values.
	Written int   `json:"written"`
	Deleted int   `json:"deleted"`
	Bytes   int64 `json:"bytes"`
	// Dirty is the number of keys that have changed at the source and are to be looked at.
	Dirty int `json:"dirty"`
	// InSync is set in PhaseTail when the target has caught up.
	InSync bool `json:"inSync,omitempty"`
}

// Receipt says what a copy has done. Source and Target are equal if Copy returns no error.
type Receipt struct {
	// Source and Target are the digests of the two sides, of the pairs that were copied:
	// without those of the source that were left out, and those that only the target has.
	Source Sum `json:"source"`
	Target Sum `json:"target"`
	// Written, Deleted and Bytes are those of Progress at the end.
	Written int   `json:"written"`
	Deleted int   `json:"deleted"`
	Bytes   int64 `json:"bytes"`
	// Skipped is the number of pairs that were left out because the target cannot hold them.
	Skipped int `json:"skipped"`
	// TargetOnly is the number of keys that only the target has.
	TargetOnly int `json:"targetOnly"`
	// Restarts is the number of times that the copy had to compare both sides again, because a
	// watch or the lock was lost.
	Restarts int `json:"restarts"`
	// Passes is the number of comparisons until one found no difference.
	Passes int `json:"passes"`
	// SourceIndex and TargetIndex are the indexes of the two stores at the end.
	SourceIndex uint64 `json:"sourceIndex"`
	TargetIndex uint64 `json:"targetIndex"`
	// NotCarried says, in sentences for a person, what the target does not have.
	NotCarried []string `json:"notCarried"`
	// Began and Ended are times by the local clock.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
}

// copier is a running copy. Its fields belong to the goroutine of Copy.
type copier struct {
	ctx            context.Context // of Copy, for CutOver
	o              Options
	source, target kvdb.Kvdb
	limits         kvdb.Limits // of the target
	lock           *kvdb.KVPair
	held           kvdb.HeldLock // of lock
	id             string        // of this copy, in the record at the target
	state          state         // from where the session continues
	saved          time.Time     // when the state was saved
	dirty          *dirty
	cutOver        *cutOver // nil until the target has caught up
	pageSize       int      // of reads of both sides, 0 for the default
	progress       Progress
	shown          time.Time // when Progress was called
	receipt        Receipt
}

// Copy makes the pairs of target equal to those of source, and proves it: it returns without
// an error only after a comparison that found no difference, with equal digests. While it
// runs, programs may write to the source, and must not write to the target.
//
// Copy holds a lock at the target, and each transaction commits only while the lock is held
// (where the store can do that, see [kvdb.TxGuard]). So a copy that was stopped, and wakes up
// after another one has begun, writes nothing. Calls that fail because a store cannot be
// reached are repeated. If the watch of the source or the lock is lost, both sides are
// compared again.
//
// Memory is bounded by a page of pairs of each side and the keys that have changed, not by
// the number of pairs. (Consul and etcd v2 return all pairs at once.)
//
// The receipt says what is not carried over: indexes, held locks and fencing tokens among
// other things. The receipt is also returned with an error, as far as it goes. If ctx ends,
// the error wraps ctx.Err() and its cause.
func Copy(ctx context.Context, source, target kvdb.Kvdb, o Options) (Receipt, error) {
	c, err := newCopier(source, target, o)
	if err != nil {
		return Receipt{}, err
	}
	err = c.copy(ctx)
	c.receipt.Ended = time.Now()
	c.receipt.Written, c.receipt.Deleted, c.receipt.Bytes = c.progress.Written, c.progress.Deleted, c.progress.Bytes
	if err == nil {
		c.phase(PhaseDone)
	}
	return c.receipt, err
}

func (c *copier) copy(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	c.ctx = ctx
	defer c.endCutOver()
	defer cancel()
	defer func() { err = ended(ctx, err) }()
	if !c.o.Skip {
		if err := c.check(ctx); err != nil {
			return err
		}
	}
	if err := c.claim(ctx); err != nil {
		return err
	}
	defer func() {
		c.release(ctx, err == nil)
		if err == nil {
			c.removeState()
		}
	}()
	again := retry.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for err = c.session(ctx); err != nil && ctx.Err() == nil && isTransient(err); {
		c.failed(err)
		c.receipt.Restarts++
		if again.Wait(ctx) != nil {
			return err
		}
		if err = c.reclaim(ctx); err == nil {
			err = c.session(ctx)
		}
	}
	return err
}

// session makes the target equal to the source, with one watch and one lock.
func (c *copier) session(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer func() {
		if cause := context.Cause(ctx); err != nil && (cause == errLockLost || errors.Is(cause, errWatchOver)) {
			err = cause
		}
		if errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
			c.state = state{}
		}
		cancel(nil)
	}()
	running.Go(func() {
		select {
		case <-c.held.Lost():
			cancel(errLockLost)
		case <-ctx.Done():
		}
	})
	if err := c.watch(ctx, cancel, &running); err != nil {
		return err
	}
	if !c.state.Complete {
		if err := c.base(ctx); err != nil {
			return err
		}
	}
	return c.tail(ctx)
}

// minPageSize is the smallest number of pairs that are read at a time.
const minPageSize = 50

// retrying calls call until it does not fail because of an outage. The lock and the watch end
// ctx when they are lost.
func (c *copier) retrying(ctx context.Context, call func() error) error {
	again := retry.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	defer func() { c.pageSize = 0 }()
	for {
		err := call()
		if err == nil || ctx.Err() != nil || !isOutage(err) {
			return err
		}
		// While others write, ZooKeeper can read a small page at one moment, and not a large one.
		c.pageSize = max(cmp.Or(c.pageSize, kvdb.DefaultPageSize)/4, minPageSize)
		c.failed(err)
		if again.Wait(ctx) != nil {
			return err
		}
	}
}

var (
	errLockLost  = errors.New("the lock of the copy was lost")
	errWatchOver = errors.New("the watch of the source has ended")
)

// isOutage reports whether a call may succeed later.
func isOutage(err error) bool {
	return errors.Is(err, kvdb.ErrNoConnection) || errors.Is(err, kvdb.ErrUnknownOutcome) || errors.Is(err, kvdb.ErrNoQuorum)
}

// isTransient reports whether another session may succeed.
func isTransient(err error) bool {
	return isOutage(err) || err == errLockLost || errors.Is(err, errWatchOver) || errors.Is(err, kvdb.ErrInvalidLock)
}

// ended returns the error of a call whose context may have ended. It wraps ctx.Err() and its
// cause then.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	for _, cause := range []error{context.Cause(ctx), ctx.Err()} {
		if !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}
	return err
}

// failed reports an error after which the copy goes on.
func (c *copier) failed(err error) {
	if c.o.OnError != nil {
		c.o.OnError(err)
	}
}

// phase begins a phase.
func (c *copier) phase(p Phase) {
	c.progress.Phase, c.progress.Keys, c.progress.InSync = p, 0, false
	c.show(0)
}

// show calls Progress, unless it was called less than every ago.
func (c *copier) show(every time.Duration) {
	if c.o.Progress == nil || time.Since(c.shown) < every {
		return
	}
	c.progress.Dirty = c.dirty.len()
	c.o.Progress(c.progress)
	c.shown = time.Now()
}

// showEvery is the time between two calls of Progress in the same phase.
const showEvery = 200 * time.Millisecond

// compared counts a key.
func (c *copier) compared() {
	if c.progress.Keys++; c.progress.Keys%256 == 0 {
		c.show(showEvery)
	}
}

// write writes pairs to the target, as long as the lock is held.
func (c *copier) write(ctx context.Context, pairs iter.Seq2[*kvdb.KVPair, error], report func(kvdb.Written)) error {
	before := c.progress
	update := func(w kvdb.Written) {
		c.progress.Written, c.progress.Bytes = before.Written+w.Pairs, before.Bytes+w.Bytes
		c.show(showEvery)
	}
	counted := func(yield func(*kvdb.KVPair, error) bool) {
		for pair, err := range pairs {
			if err == nil && pair.Action == kvdb.KVDelete {
				c.progress.Deleted++
			}
			if !yield(pair, err) {
				return
			}
		}
	}
	w, err := kvdb.PutMany(ctx, c.target, counted, kvdb.ManyOptions{
		Workers: c.o.Workers, Guard: c.lock,
		Report: func(w kvdb.Written) {
			update(w)
			if report != nil {
				report(w)
			}
		},
	})
	update(w)
	return err
}

// deletion returns a pair that stands for the deletion of a key.
func deletion(key string) *kvdb.KVPair { return &kvdb.KVPair{Key: key, Action: kvdb.KVDelete} }

// newCopier returns a copier with the defaults of its options.
func newCopier(source, target kvdb.Kvdb, o Options) (*copier, error) {
	switch o.TTL {
	case "":
		o.TTL = TTLKeep
	case TTLKeep, TTLDrop, TTLFail:
	default:
		return nil, fmt.Errorf("%w: TTL mode %q must be %q, %q or %q", kvdb.ErrIllegal, o.TTL, TTLKeep, TTLDrop, TTLFail)
	}
	if o.LockWait <= 0 {
		o.LockWait = lockWait
	}
	return &copier{
		o: o, source: source, target: target, limits: kvdb.LimitsOf(target), id: rand.Text(),
		dirty: newDirty(nil), receipt: Receipt{Began: time.Now()},
	}, nil
}
