package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/portworx/kvdb"
)

// Of is a [Cache] whose values are decoded from JSON into a T, once for each change. Its Get,
// Range, View and Subscribe return decoded values; the other methods are those of Cache. What
// the values refer to, such as the elements of a slice, is shared: it must not be modified.
type Of[T any] struct{ *Cache }

// NewOf is [New] for a cache with decoded values. A value that cannot be decoded is no error
// of NewOf, but of reads of its key.
func NewOf[T any](ctx context.Context, kv kvdb.Kvdb, prefix string, o Options) (Of[T], error) {
	c, err := open(ctx, kv, prefix, o, func(pair *kvdb.KVPair) (any, error) {
		var value T
		if err := json.Unmarshal(pair.Value, &value); err != nil {
			return nil, fmt.Errorf("%w: key %q: %w", kvdb.ErrUnmarshal, pair.Key, err)
		}
		return value, nil
	})
	return Of[T]{c}, err
}

// View returns the latest state.
func (o Of[T]) View() ViewOf[T] { return ViewOf[T]{o.Cache.View()} }

// Get is [ViewOf.Get] of the latest state.
func (o Of[T]) Get(key string) (T, *kvdb.KVPair, error) { return o.View().Get(key) }

// Range is [ViewOf.Range] of the state at the beginning of the loop.
func (o Of[T]) Range(prefix string) iter.Seq2[kvdb.Typed[T], error] {
	return func(yield func(kvdb.Typed[T], error) bool) { o.View().Range(prefix)(yield) }
}

// ViewOf is a [View] with decoded values.
type ViewOf[T any] struct{ *View }

// Get returns the value at key and its pair, or [kvdb.ErrNotFound]. If the value cannot be
// decoded, it returns the pair and an error that wraps [kvdb.ErrUnmarshal]. The pair is
// shared: it must not be modified.
func (v ViewOf[T]) Get(key string) (T, *kvdb.KVPair, error) {
	e := v.table.points.get(key)
	if e == nil {
		var none T
		return none, nil, kvdb.ErrNotFound
	}
	return decoded[T](e), &e.pair, e.err
}

// Range is [View.Range] with decoded values. With a value that cannot be decoded it yields
// the pair and an error that wraps [kvdb.ErrUnmarshal], and continues.
func (v ViewOf[T]) Range(prefix string) iter.Seq2[kvdb.Typed[T], error] {
	return func(yield func(kvdb.Typed[T], error) bool) {
		v.scan(prefix, func(e *entry) bool {
			return isHidden(e.pair.Key) || yield(kvdb.Typed[T]{Pair: &e.pair, Value: decoded[T](e)}, e.err)
		})
	}
}

// decoded returns the decoded value of an entry, or the zero value.
func decoded[T any](e *entry) (value T) {
	if e != nil {
		value, _ = e.decoded.(T)
	}
	return value
}

// ChangeOf is a [Change] with decoded values.
type ChangeOf[T any] struct {
	Change
	// OldValue and NewValue are the values of Old and New, or the zero value if there is
	// none.
	OldValue, NewValue T
	// Err is the error of the value of New if it could not be decoded; see [ViewOf.Get].
	Err error
}

// Subscribe is [Cache.Subscribe] with decoded values.
func (o Of[T]) Subscribe(ctx context.Context) (ViewOf[T], iter.Seq2[ChangeOf[T], error]) {
	v, changes := o.Cache.Subscribe(ctx)
	return ViewOf[T]{v}, func(yield func(ChangeOf[T], error) bool) {
		for change, err := range changes {
			of := ChangeOf[T]{Change: change, OldValue: decoded[T](change.old), NewValue: decoded[T](change.new)}
			if change.new != nil {
				of.Err = change.new.err
			}
			if !yield(of, err) {
				return
			}
		}
	}
}
