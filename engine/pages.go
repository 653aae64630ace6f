package engine

import (
	"context"
	"iter"
	"strings"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// EnumeratePages implements kvdb.Pager.
func (kv *view) EnumeratePages(prefix string, pageSize int) iter.Seq2[*kvdb.KVPair, error] {
	return kv.EnumeratePagesWith(prefix, kvdb.PageOptions{Size: pageSize})
}

// EnumeratePagesWith implements kvdb.PagerWith. For hooks each page is an operation, so that
// its duration does not include that of the caller's loop.
func (kv *view) EnumeratePagesWith(prefix string, o kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		full, err := kv.stringPrefix(prefix)
		if err != nil {
			yield(nil, kv.operate("enumerate", prefix, func(context.Context) error { return err }))
			return
		}
		from := ""
		if o.From != "" {
			from = kv.prefix + o.From
		}
		if from > full && !strings.HasPrefix(from, full) {
			if err := kv.operate("enumerate", prefix, func(context.Context) error { return nil }); err != nil {
				yield(nil, err)
			}
			return // All keys with the prefix sort before from.
		}
		for page, err := range kv.pages(prefix, full, from, o) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, pair := range page {
				if o.KeysOnly {
					pair.Value = nil
				}
				left := isForeign(pair.Key) || !o.Hidden && hidden(pair.Key)
				if !left && !yield(pair, nil) {
					return
				}
			}
		}
	}
}

// pages reads the pairs below a store's prefix, and not before from, in pages. name is the
// prefix that the caller gave.
func (kv *view) pages(name, prefix, from string, with kvdb.PageOptions) iter.Seq2[kvdb.KVPairs, error] {
	o := driver.ListOptions{From: from, Limit: with.Size, KeysOnly: with.KeysOnly, TTL: with.TTL}
	if o.Limit <= 0 {
		o.Limit = kvdb.DefaultPageSize
	}
	return func(yield func(kvdb.KVPairs, error) bool) {
		source := lister(kv.store)
		for first := true; ; first = false {
			page, err := kv.page(name, &source, prefix, o, first)
			more := err == nil && page.More && len(page.Pairs) > 0
			if more { // before yield, because the caller may change the pairs
				o.At = page.Index
				// The smallest key that sorts after the last one.
				o.From = kv.prefix + page.Pairs[len(page.Pairs)-1].Key + "\x00"
			}
			if !yield(page.Pairs, err) || !more {
				return
			}
		}
	}
}

// page reads one page from source. The first page may replace source for the others.
func (kv *view) page(name string, source *lister, prefix string, o driver.ListOptions, first bool) (page driver.Page, err error) {
	kv, op := kv.start("enumerate", name)
	if op != nil {
		defer op.end(&err)
	}
	page, err = kv.listFrom(*source, prefix, o)
	if err == nil && page.More && first {
		*source, page, err = kv.frozen(prefix, o, page)
	}
	if err == nil && len(page.Pairs) > 0 && kv.prefix+page.Pairs[0].Key < o.From {
		err = kv.broken("List must return keys from ListOptions.From on")
	}
	return page, err
}

// frozen returns the lister for the pages of an enumeration after the first one, and the first
// page. If the store can be copied, all pages show one moment.
func (kv *view) frozen(prefix string, o driver.ListOptions, first driver.Page) (lister, driver.Page, error) {
	source, ok := kv.store.(tree.Source)
	if !ok {
		return kv.store, first, nil
	}
	copied, index, err := source.Freeze([]string{prefix}, false)
	if err != nil {
		return nil, driver.Page{}, err
	}
	from := &snapshotStore{tree: copied, index: index}
	if index != first.Index { // the store has changed since
		first, err = kv.listFrom(from, prefix, o)
	}
	return from, first, err
}
