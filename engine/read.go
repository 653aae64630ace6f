package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Get returns the pair at key.
func (kv *view) Get(key string) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("get", key)
	if op != nil {
		defer op.end(&err)
	}
	return kv.pair(key)
}

// pair returns the pair at key.
func (kv *view) pair(key string) (*kvdb.KVPair, error) {
	full, err := kv.key(key)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := kv.begin()
	if err != nil {
		return nil, err
	}
	defer cancel()
	pair, err := kv.get(ctx, full)
	if err != nil {
		return nil, err
	}
	kv.found(pair, full)
	return pair, nil
}

// get calls the store, and returns an error if that breaks the rule for a missing key.
func (i *instance) get(ctx context.Context, full string) (*kvdb.KVPair, error) {
	pair, err := i.store.Get(ctx, full)
	if pair == nil && err == nil {
		err = i.broken("Get of a missing key must return kvdb.ErrNotFound")
	}
	return pair, err
}

// broken returns the error of a call whose store breaks a rule of its contract.
func (i *instance) broken(rule string) error {
	return fmt.Errorf("the backend %s is wrong: %s", i.name, rule)
}

// found completes a pair that a store's read returned.
func (i *instance) found(pair *kvdb.KVPair, full string) {
	pair.Key = i.relative(full)
	pair.Action = kvdb.KVGet
}

// GetVal is Get, and decodes the value from JSON into value.
func (kv *view) GetVal(key string, value interface{}) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("get", key)
	if op != nil {
		defer op.end(&err)
	}
	pair, err := kv.pair(key)
	if err != nil {
		return nil, err
	}
	return pair, decode(pair.Value, value)
}

func decode(encoded []byte, value interface{}) error {
	if err := json.Unmarshal(encoded, value); err != nil {
		return kvdb.ErrUnmarshal
	}
	return nil
}

// GetWithCopy returns the copy that copySelect makes of the value at key.
func (kv *view) GetWithCopy(key string, copySelect kvdb.CopySelect) (_ interface{}, err error) {
	kv, op := kv.start("get", key)
	if op != nil {
		defer op.end(&err)
	}
	if copySelect == nil {
		return nil, driver.ErrIllegalSelect
	}
	full, err := kv.key(key)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := kv.begin()
	if err != nil {
		return nil, err
	}
	defer cancel()
	var object any
	if objects, ok := kv.store.(driver.ObjectStore); ok {
		object, err = objects.GetObject(ctx, full)
	} else {
		var pair *kvdb.KVPair
		if pair, err = kv.get(ctx, full); err == nil {
			object = pair.Value
		}
	}
	if err != nil {
		return nil, err
	}
	if object = copySelect(object); object == nil {
		return nil, driver.ErrIllegalSelect
	}
	return object, nil
}

// TTLOf implements kvdb.TTLReader.
func (kv *view) TTLOf(key string) (remaining time.Duration, has bool, err error) {
	kv, op := kv.start("ttl", key)
	if op != nil {
		defer op.end(&err)
	}
	store, ok := kv.store.(driver.TTLReader)
	if !ok {
		return 0, false, kvdb.ErrNotSupported
	}
	full, err := kv.key(key)
	if err != nil {
		return 0, false, err
	}
	err = kv.run(func(ctx context.Context) error {
		remaining, has, err = store.TTL(ctx, full)
		return err
	})
	return remaining, has, err
}

// lister is the part of a driver.Store that lists pairs.
type lister interface {
	List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error)
}

// list returns the pairs below a store's prefix, hidden ones included.
func (kv *view) list(prefix string, o driver.ListOptions) (driver.Page, error) {
	return kv.listFrom(kv.store, prefix, o)
}

func (kv *view) listFrom(from lister, prefix string, o driver.ListOptions) (driver.Page, error) {
	begin := kv.begin
	if o.TTL && kv.profile.SlowTTL {
		begin = kv.beginUnbounded
	}
	ctx, cancel, err := begin()
	if err != nil {
		return driver.Page{}, err
	}
	defer cancel()
	page, err := from.List(ctx, prefix, o)
	if err != nil {
		return driver.Page{}, err
	}
	for _, pair := range page.Pairs {
		kv.found(pair, pair.Key)
	}
	return page, nil
}

// Enumerate returns the pairs below prefix.
func (kv *view) Enumerate(prefix string) (_ kvdb.KVPairs, err error) {
	kv, op := kv.start("enumerate", prefix)
	if op != nil {
		defer op.end(&err)
	}
	return kv.enumerate(prefix)
}

// enumerate returns the pairs below prefix.
func (kv *view) enumerate(prefix string) (kvdb.KVPairs, error) {
	full, err := kv.stringPrefix(prefix)
	if err != nil {
		return nil, err
	}
	page, err := kv.list(full, driver.ListOptions{})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(page.Pairs, isHidden), nil
}

func isHidden(pair *kvdb.KVPair) bool { return hidden(pair.Key) }

// listObjects returns the pairs that Enumerate(prefix) returns, and for each the value
// that the select and copy callbacks get. With keysOnly the pairs may lack their values.
func (kv *view) listObjects(prefix string, keysOnly bool) (kvdb.KVPairs, []any, error) {
	objects, ok := kv.store.(driver.ObjectStore)
	if !ok {
		pairs, err := kv.enumerate(prefix)
		values := make([]any, len(pairs))
		for i, pair := range pairs {
			values[i] = pair.Value
		}
		return pairs, values, err
	}
	full, err := kv.stringPrefix(prefix)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel, err := kv.begin()
	if err != nil {
		return nil, nil, err
	}
	defer cancel()
	page, values, err := objects.ListObjects(ctx, full, driver.ListOptions{KeysOnly: keysOnly})
	if err != nil {
		return nil, nil, err
	}
	pairs := page.Pairs[:0]
	for i, pair := range page.Pairs {
		kv.found(pair, pair.Key)
		if !hidden(pair.Key) {
			values[len(pairs)] = values[i]
			pairs = append(pairs, pair)
		}
	}
	return pairs, values[:len(pairs)], nil
}

// EnumerateWithSelect returns copies of the values that enumerateSelect accepts.
func (kv *view) EnumerateWithSelect(prefix string, enumerateSelect kvdb.EnumerateSelect,
	copySelect kvdb.CopySelect) (_ []interface{}, err error) {
	kv, op := kv.start("enumerate", prefix)
	if op != nil {
		defer op.end(&err)
	}
	if enumerateSelect == nil || copySelect == nil {
		return nil, driver.ErrIllegalSelect
	}
	_, values, err := kv.listObjects(prefix, true)
	if err != nil {
		return nil, err
	}
	selected := []interface{}{}
	for _, value := range values {
		if !enumerateSelect(value) {
			continue
		}
		c := copySelect(value)
		if c == nil {
			return nil, driver.ErrIllegalSelect
		}
		selected = append(selected, c)
	}
	return selected, nil
}

// EnumerateKVPWithSelect returns copies of the pairs that enumerateSelect accepts.
func (kv *view) EnumerateKVPWithSelect(prefix string, enumerateSelect kvdb.EnumerateKVPSelect,
	copySelect kvdb.CopyKVPSelect) (_ kvdb.KVPairs, err error) {
	kv, op := kv.start("enumerate", prefix)
	if op != nil {
		defer op.end(&err)
	}
	if enumerateSelect == nil || copySelect == nil {
		return nil, driver.ErrIllegalSelect
	}
	pairs, values, err := kv.listObjects(prefix, false)
	if err != nil {
		return nil, err
	}
	selected := kvdb.KVPairs{}
	for i, pair := range pairs {
		if !enumerateSelect(pair, values[i]) {
			continue
		}
		c := copySelect(pair, values[i])
		if c == nil {
			return nil, driver.ErrIllegalSelect
		}
		selected = append(selected, c)
	}
	return selected, nil
}

// Keys returns the first-level names below the directory prefix.
func (kv *view) Keys(prefix, sep string) (_ []string, err error) {
	kv, op := kv.start("keys", prefix)
	if op != nil {
		defer op.end(&err)
	}
	if sep == "" {
		sep = kvdb.DefaultSeparator
	}
	dir, err := kv.directory(prefix, sep)
	if err != nil {
		return nil, err
	}
	if children, ok := kv.store.(driver.ChildLister); ok {
		ctx, cancel, err := kv.begin()
		if err != nil {
			return nil, err
		}
		defer cancel()
		return children.Children(ctx, dir, sep)
	}
	page, err := kv.list(dir, driver.ListOptions{KeysOnly: true})
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, pair := range page.Pairs {
		if name := driver.ChildName(pair.Key[len(dir)-len(kv.prefix):], sep); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
