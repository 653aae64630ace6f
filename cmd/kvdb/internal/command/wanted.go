package command

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/merge"
	"github.com/portworx/kvdb/transfer"
)

// wantedFlags say how a file of pairs is read.
type wantedFlags struct{ format, ttl string }

// The values of --ttl.
const (
	ttlKeep = "keep"
	ttlDrop = "drop"
)

func (f *wantedFlags) add(c *cobra.Command) {
	addFormat(c, &f.format)
	c.Flags().StringVar(&f.ttl, "ttl", ttlKeep, "keep or drop the TTLs of the file")
	_ = c.RegisterFlagCompletionFunc("ttl", cobra.FixedCompletions([]string{ttlKeep, ttlDrop}, cobra.ShellCompDirectiveNoFileComp)) // it exists
}

// wanted returns the pairs of a file or folder in the order of their keys, as the store would
// keep them.
func (s *session) wanted(ctx context.Context, path string, f wantedFlags) ([]*kvdb.KVPair, error) {
	if err := checkFormat(f.format); err != nil {
		return nil, err
	}
	if f.ttl != ttlKeep && f.ttl != ttlDrop {
		return nil, usagef("--ttl %s: it is %s or %s", f.ttl, ttlKeep, ttlDrop)
	}
	pairs, err := s.readPairs(ctx, path, f.format)
	if err != nil {
		return nil, err
	}
	for _, pair := range pairs {
		if f.ttl == ttlDrop {
			pair.TTL = 0
		}
		if err := s.fit(pair); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(pairs, func(a, b *kvdb.KVPair) int { return cmp.Compare(a.Key, b.Key) })
	for i := 1; i < len(pairs); i++ {
		if pairs[i].Key == pairs[i-1].Key {
			return nil, usagef("%s: the key %q is there twice", nameOf(path), pairs[i].Key)
		}
	}
	return pairs, nil
}

// readPairs returns the pairs of a file or folder, or of the standard input.
func (s *session) readPairs(ctx context.Context, path, format string) (pairs []*kvdb.KVPair, err error) {
	var text []byte
	if path == stdinPath {
		if text, err = readAll(ctx, s.Stdin); err != nil {
			return nil, err
		}
	} else if info, err := os.Stat(path); err != nil {
		return nil, usagef("%w", err)
	} else if info.IsDir() {
		pairs, err = readFolder(path)
		return pairs, wrapUsage(path, err)
	} else if text, err = os.ReadFile(path); err != nil {
		return nil, usagef("%w", err)
	}
	pairs, err = parsePairs(text, format)
	return pairs, wrapUsage(nameOf(path), err)
}

// stdinPath stands for the standard input.
const stdinPath = "-"

// nameOf returns a path for messages.
func nameOf(path string) string {
	if path == stdinPath {
		return "standard input"
	}
	return path
}

// wrapUsage returns an error about what a file has.
func wrapUsage(path string, err error) error {
	if err == nil {
		return nil
	}
	return usagef("%s: %w", path, err)
}

// fit returns an error if the store cannot hold the pair. It sets the key to that which the
// store keeps.
func (s *session) fit(pair *kvdb.KVPair) error {
	l := s.limits
	if l.CheckKey != nil {
		stored, err := l.CheckKey(pair.Key)
		if err != nil {
			return err // it names the key
		}
		pair.Key = stored
	}
	if l.NoEmptyValue && len(pair.Value) == 0 {
		return about(pair.Key, kvdb.ErrEmptyValue)
	}
	if !l.ServerDefaults && l.MaxValue > 0 && len(pair.Value) > l.MaxValue {
		return about(pair.Key, fmt.Errorf("%w: the value has %d bytes, and the limit is %d", kvdb.ErrTooLarge, len(pair.Value), l.MaxValue))
	}
	if l.NoTTL && pair.TTL > 0 {
		return advise(about(pair.Key, kvdb.ErrTTLNotSupported), "%s has no TTLs: use --ttl %s", s.target, ttlDrop)
	}
	_, err := s.ttlSeconds(time.Duration(pair.TTL) * time.Second)
	return about(pair.Key, err)
}

// plan is what makes the pairs of a store those that are wanted.
type plan struct {
	differences []transfer.Difference
	// same is the number of pairs that are as they are wanted.
	same int
}

// compareWanted compares the pairs of the store with those that are wanted. Keys that begin with
// prefix and that only the store has are different if prune is true.
func (s *session) compareWanted(wanted []*kvdb.KVPair, prefix string, prune bool) (*plan, error) {
	if !prune {
		if len(wanted) == 0 {
			return &plan{}, nil
		}
		prefix = commonPrefix(wanted)
	}
	p := s.startProgress("compare")
	defer p.end()
	options := kvdb.PageOptions{Hidden: true, TTL: !s.limits.NoTTL}
	found := &plan{}
	for sides, err := range merge.Pairs(kvdb.PairsWith(s.counting(p), prefix, options), valuesOf(wanted)) {
		switch d := transfer.Difference(sides); {
		case err != nil:
			return nil, err
		case d.New == nil && !prune:
		case d.New != nil && d.Old != nil && bytes.Equal(d.Old.Value, d.New.Value) && (d.Old.TTL > 0) == (d.New.TTL > 0):
			found.same++
		default:
			found.differences = append(found.differences, d)
		}
	}
	return found, nil
}

// valuesOf returns a sequence without errors.
func valuesOf[T any](values []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, value := range values {
			if !yield(value, nil) {
				return
			}
		}
	}
}

// commonPrefix returns the longest prefix of all keys of pairs, which are in order. There must
// be some.
func commonPrefix(pairs []*kvdb.KVPair) string {
	first, last := pairs[0].Key, pairs[len(pairs)-1].Key
	n := 0
	for n < min(len(first), len(last)) && first[n] == last[n] {
		n++
	}
	return first[:n]
}

// carryOut writes what differs.
func (s *session) carryOut(ctx context.Context, todo *plan) error {
	p := s.startProgress("write")
	defer p.end()
	p.update(func(w *work) { w.Total = int64(len(todo.differences)) })
	written, err := kvdb.PutMany(ctx, s.kv, func(yield func(*kvdb.KVPair, error) bool) {
		for _, d := range todo.differences {
			pair := d.New
			if pair == nil {
				pair = &kvdb.KVPair{Key: d.Key(), Action: kvdb.KVDelete}
			}
			if !yield(pair, nil) {
				return
			}
		}
	}, kvdb.ManyOptions{Report: func(written kvdb.Written) {
		p.update(func(w *work) { w.Keys, w.Bytes = int64(written.Pairs), written.Bytes })
	}})
	if err != nil {
		return advise(err, "%d of %d keys are written for certain: run the command again to go on", written.Pairs, len(todo.differences))
	}
	return nil
}
