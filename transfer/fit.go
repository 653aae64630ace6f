package transfer

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/fit"
	"github.com/portworx/kvdb/internal/merge"
)

// Problem is a pair of the source that the target cannot hold.
type Problem struct {
	// Key is the pair's key.
	Key string
	// Err wraps kvdb.ErrIllegal, kvdb.ErrTooLarge, kvdb.ErrEmptyValue or
	// kvdb.ErrTTLNotSupported.
	Err error
}

// maxProblems is the maximum number of problems that an IncompatibleError lists.
const maxProblems = 100

// IncompatibleError is the error of Copy if the target cannot hold pairs of the source. It
// wraps ErrIncompatible.
type IncompatibleError struct {
	// Problems are the first 100 problems. Preflight lists all.
	Problems []Problem
	// Total is the number of problems.
	Total int
}

func (e *IncompatibleError) Error() string {
	return fmt.Sprintf("%v: %d, the first is the key %q: %v", ErrIncompatible, e.Total, e.Problems[0].Key, e.Problems[0].Err)
}

// Unwrap returns ErrIncompatible.
func (e *IncompatibleError) Unwrap() error { return ErrIncompatible }

// incompatible returns the error of one pair.
func incompatible(key string, problem error) error {
	return &IncompatibleError{Problems: []Problem{{Key: key, Err: problem}}, Total: 1}
}

// Preflight iterates over the pairs of source that target cannot hold, by [kvdb.LimitsOf]:
// keys that are illegal or that the target does not keep as they are, values and keys that are
// too large, empty values, keys below other keys, TTLs. It writes nothing. Of o it heeds Prefix,
// TTL and Delete. If the limits are those of a server's default configuration, the server may
// hold what is reported as too large, and Copy without Skip leaves that to the server.
func Preflight(ctx context.Context, source, target kvdb.Kvdb, o Options) iter.Seq2[Problem, error] {
	return func(yield func(Problem, error) bool) {
		o.Skip = true // so that all is reported
		c, err := newCopier(source, target, o)
		if err != nil {
			yield(Problem{}, err)
			return
		}
		for step, err := range c.steps(ctx, "", c.limits.NoKeyAboveKeys) {
			if err == nil && step.problem == nil {
				continue
			}
			problem := Problem{Err: step.problem}
			if err == nil {
				problem.Key = step.Key()
			}
			if !yield(problem, err) {
				return
			}
		}
	}
}

// check returns an *IncompatibleError if the target cannot hold all pairs.
func (c *copier) check(ctx context.Context) error {
	c.phase(PhaseCheck)
	found := &IncompatibleError{}
	for step, err := range c.steps(ctx, "", c.limits.NoKeyAboveKeys) {
		if err != nil {
			return err
		}
		if step.problem == nil {
			continue
		}
		if found.Total++; found.Total <= maxProblems {
			found.Problems = append(found.Problems, Problem{step.Key(), step.problem})
		}
	}
	if found.Total > 0 {
		return found
	}
	return nil
}

// step is a key that the source or the target has: Old is the target's pair, New the
// source's.
type step struct {
	merge.Sides
	problem error // why the target cannot hold New, or nil
}

// steps iterates over the keys of both sides from a key on. Without both, the target's are
// left out.
func (c *copier) steps(ctx context.Context, from string, both bool) iter.Seq2[step, error] {
	return func(yield func(step, error) bool) {
		target := func(func(*kvdb.KVPair, error) bool) {}
		if both {
			target = pairsOf(ctx, c.target, c.o.Prefix, kvdb.PageOptions{From: from, TTL: true, Size: c.pageSize})
		}
		source := pairsOf(ctx, c.source, c.o.Prefix, kvdb.PageOptions{From: from, TTL: c.o.TTL != TTLDrop, Size: c.pageSize})
		above := fit.Path{}
		for sides, err := range merge.Pairs(target, source) {
			if err != nil {
				yield(step{}, err)
				return
			}
			c.compared()
			s := step{Sides: sides}
			if sides.New != nil {
				s.problem = c.fits(sides.New)
			}
			if c.limits.NoKeyAboveKeys && s.problem == nil && (sides.New != nil || !c.o.Delete) {
				if s.problem = above.Enter(sides.Key()); sides.New == nil {
					s.problem = nil
				}
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// fits returns an error if the target cannot hold a pair of the source.
func (c *copier) fits(pair *kvdb.KVPair) error {
	ttl := pair.TTL
	switch {
	case c.o.TTL == TTLDrop:
		ttl = 0
	case c.o.TTL == TTLFail && ttl > 0:
		return fmt.Errorf("%w: the pair expires in %v", kvdb.ErrTTLNotSupported, time.Duration(ttl)*time.Second)
	}
	if c.limits.HiddenUnlisted && fit.HasHidden(pair.Key[len(c.o.Prefix):]) {
		return fmt.Errorf(`%w: the store does not list keys with a component that begins with "_"`, kvdb.ErrIllegal)
	}
	return c.fit().Check(pair, ttl)
}

func (c *copier) fit() fit.Store { return fit.Store{Limits: c.limits, Defaults: c.o.Skip} }

// wanted returns the pair that the target should have for a pair of the source.
func (c *copier) wanted(pair *kvdb.KVPair) *kvdb.KVPair {
	w := &kvdb.KVPair{Key: pair.Key, Value: pair.Value, Action: kvdb.KVSet, TTL: pair.TTL}
	if c.o.TTL == TTLDrop || w.TTL <= 0 {
		w.TTL = 0
		return w
	}
	w.TTL = c.fit().TTL(w.TTL)
	return w
}
