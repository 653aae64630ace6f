package command

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// otherForm is what names a second store on the command line.
const otherForm = "STORE"

// openOther opens the store that an argument names, for a command that has one already.
func (s *session) openOther(ctx context.Context, given string, what access) (*session, error) {
	if given == "" {
		return nil, usagef("the other store is empty: it must be a URL or @CONTEXT")
	}
	t, err := s.choose(given, otherForm)
	if err != nil {
		return nil, err
	}
	if what == writes {
		if err := s.permit(ctx, t); err != nil {
			return nil, err
		}
	}
	other, err := s.open(ctx, t, what)
	if err != nil {
		return nil, err
	}
	other.out = s.out
	return other, nil
}

// counted is a store that reports the pairs that are read in pages.
type counted struct {
	kvdb.Kvdb
	report func(*kvdb.KVPair)
}

func (c counted) EnumeratePagesWith(prefix string, o kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		for pair, err := range kvdb.PairsWith(c.Kvdb, prefix, o) {
			if err == nil {
				c.report(pair)
			}
			if !yield(pair, err) {
				return
			}
		}
	}
}

// counting returns the store, whose pairs count for p when they are read.
func (s *session) counting(p *progress) kvdb.Kvdb {
	return counted{s.kv, p.count}
}

// startProgress is newProgress with the name of what is done.
func (a *app) startProgress(phase string) *progress {
	p := a.newProgress()
	p.update(func(w *work) { w.Phase = phase })
	return p
}

// count counts a pair.
func (p *progress) count(pair *kvdb.KVPair) {
	p.update(func(w *work) {
		w.Keys++
		w.Bytes += int64(len(pair.Key) + len(pair.Value))
	})
}

// completeOther completes the name of another store, and then a key of the store.
func (a *app) completeOther(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return a.completeKeys(c, args, typed)
	}
	return a.completeStores(c, args, typed)
}
