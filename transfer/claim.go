package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/fatalcb"
)

const (
	// lockKey is the key of the lock at the target, and recordKey that of a pair with the ID
	// of the copy that has used the target last. A copy that has lost its lock goes on only if
	// the record is its own. So it does nothing after another copy, also if that has ended.
	lockKey   = ReservedPrefix + "-lock"
	recordKey = ReservedPrefix
	// lockWait is the default of Options.LockWait, and releaseTime the time for what is done
	// when ctx may have ended.
	lockWait    = 30 * time.Second
	releaseTime = 5 * time.Second
)

// claim takes the target for this copy, and refuses a target that overlaps with the source.
func (c *copier) claim(ctx context.Context) error {
	if err := c.obtain(ctx); err != nil {
		return err
	}
	if err := c.begin(ctx); err != nil {
		c.release(ctx, true)
		return err
	}
	return nil
}

// begin finds out where to begin, and writes the record.
func (c *copier) begin(ctx context.Context) error {
	earlier, err := c.record(ctx)
	if err != nil {
		return err
	}
	c.loadState(earlier)
	if err := c.mark(ctx, &kvdb.KVPair{Key: recordKey, Value: []byte(c.id)}); err != nil {
		return err
	}
	if c.state.Index > 0 { // it is this copy's now
		c.saveState(0)
	}
	return c.refuseOverlap(ctx)
}

// obtain obtains the lock at the target.
func (c *copier) obtain(ctx context.Context) error {
	lock, err := kvdb.WithContext(fatalcb.Without(ctx), c.target).LockWithTimeout(lockKey, c.id, c.o.LockWait, 0)
	if errors.Is(err, kvdb.ErrExist) {
		return fmt.Errorf("another copy into the target is running: %w", err)
	} else if err != nil {
		return err
	}
	held, ok := lock.Lock.(kvdb.HeldLock)
	if !ok {
		return errors.Join(fmt.Errorf("%w: the locks of the target do not report their loss", kvdb.ErrNotSupported), c.target.Unlock(lock))
	}
	c.lock, c.held = lock, held
	return nil
}

// reclaim obtains the lock again if it was lost.
func (c *copier) reclaim(ctx context.Context) error {
	if c.mark(ctx, &kvdb.KVPair{Key: recordKey, Value: []byte(c.id)}) == nil { // still held
		return nil
	}
	c.unlock(ctx)
	if err := c.obtain(ctx); err != nil {
		return err
	}
	c.state = state{} // the target may have gone back
	last, err := c.record(ctx)
	if err == nil && last != c.id {
		return ErrTakenOver
	}
	return err
}

// record returns the ID of the copy that has used the target last, or "".
func (c *copier) record(ctx context.Context) (string, error) {
	pair, err := kvdb.WithContext(ctx, c.target).Get(recordKey)
	if errors.Is(err, kvdb.ErrNotFound) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return string(pair.Value), nil
}

// mark writes or deletes one pair of the copy's own at the target.
func (c *copier) mark(ctx context.Context, pair *kvdb.KVPair) error {
	_, err := kvdb.PutMany(ctx, c.target, func(yield func(*kvdb.KVPair, error) bool) { yield(pair, nil) },
		kvdb.ManyOptions{Guard: c.lock})
	return err
}

// release gives the target back. If forget is true, no later copy continues this one.
func (c *copier) release(ctx context.Context, forget bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if forget || c.o.StateFile == "" {
		// If it fails, the next copy replaces the record.
		_ = c.mark(ctx, deletion(recordKey))
	}
	c.unlock(ctx)
}

// unlock releases the lock, or has it released in the background.
func (c *copier) unlock(ctx context.Context) {
	_ = kvdb.WithContext(ctx, c.target).Unlock(c.lock)
}

// refuseOverlap returns ErrOverlap if a pair of the target shows at the source, or the other
// way around. The record, or another pair at the target, serves as the mark.
func (c *copier) refuseOverlap(ctx context.Context) error {
	from, to := components(kvdb.LimitsOf(c.source).Domain), components(c.limits.Domain)
	atSource := recordKey // where the source shows the mark
	if below, ok := strings.CutPrefix(to, from); ok {
		atSource = below + recordKey
	} else if below, ok := strings.CutPrefix(from, to); ok {
		marker := below + recordKey
		if err := c.mark(ctx, &kvdb.KVPair{Key: marker, Value: []byte(c.id)}); err != nil {
			return err
		}
		defer func() { _ = c.mark(context.WithoutCancel(ctx), deletion(marker)) }()
	}
	pair, err := kvdb.WithContext(ctx, c.source).Get(atSource)
	switch {
	case errors.Is(err, kvdb.ErrNotFound):
		return nil
	case err != nil:
		return err
	case string(pair.Value) == c.id:
		return fmt.Errorf("%w: the source's is %q, the target's is %q", ErrOverlap, kvdb.LimitsOf(c.source).Domain, c.limits.Domain)
	}
	return nil
}

// components returns a domain with a slash after each of its components.
func components(domain string) string {
	if domain = strings.Trim(domain, "/"); domain == "" {
		return ""
	}
	return domain + "/"
}
