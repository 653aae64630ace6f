package engine

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/common"
	"github.com/portworx/kvdb/driver"
)

// Put writes value at key.
func (kv *view) Put(key string, value interface{}, ttl uint64) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("put", key)
	if op != nil {
		defer op.end(&err)
	}
	return kv.put(key, value, ttl, driver.Cond{}, kvdb.KVSet)
}

// Create writes value at a key that does not exist. If it exists, the error is
// kvdb.ErrExist; a store that is a driver.Creator returns the existing pair with it.
func (kv *view) Create(key string, value interface{}, ttl uint64) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("create", key)
	if op != nil {
		defer op.end(&err)
	}
	return kv.put(key, value, ttl, driver.Cond{Absent: true}, kvdb.KVCreate)
}

// Update writes value at a key that exists.
func (kv *view) Update(key string, value interface{}, ttl uint64) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("update", key)
	if op != nil {
		defer op.end(&err)
	}
	return kv.put(key, value, ttl, driver.Cond{Present: true}, kvdb.KVSet)
}

// CompareAndSet writes kvp.Value at kvp.Key if the conditions hold.
func (kv *view) CompareAndSet(kvp *kvdb.KVPair, flags kvdb.KVFlags, prevValue []byte) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("compare_and_set", keyOf(kvp))
	if op != nil {
		defer op.end(&err)
	}
	cond, err := indexCond(kvp, flags)
	if err != nil {
		return nil, err
	}
	if flags&kvdb.KVModifiedIndex != 0 && kvp.ModifiedIndex == 0 {
		// The key must not exist, so there is no previous value to compare. Together
		// with KVPrevExists the conditions can never hold.
		cond.Modified, cond.Unborn = 0, true
		cond.Present = flags&kvdb.KVPrevExists != 0
	} else {
		cond.Present = true
		cond.HasValue, cond.Value = prevValue != nil, prevValue
	}
	ttl := uint64(0)
	if flags&kvdb.KVTTL != 0 {
		if kvp.TTL < 0 {
			return nil, kvdb.ErrTTLNotSupported
		}
		ttl = uint64(kvp.TTL)
	}
	return kv.put(kvp.Key, kvp.Value, ttl, cond, kvdb.KVSet)
}

// keyOf returns the key of a pair, or "" for nil.
func keyOf(kvp *kvdb.KVPair) string {
	if kvp == nil {
		return ""
	}
	return kvp.Key
}

var errNoPair = fmt.Errorf("%w: no pair given", kvdb.ErrIllegal)

// knownFlags are all flags.
const knownFlags = kvdb.KVPrevExists | kvdb.KVCreatedIndex | kvdb.KVModifiedIndex | kvdb.KVTTL

// indexCond returns the condition that the indexes named by flags are those of kvp. An
// index of 0 never matches.
func indexCond(kvp *kvdb.KVPair, flags kvdb.KVFlags) (cond driver.Cond, err error) {
	if kvp == nil {
		return cond, errNoPair
	}
	if unknown := flags &^ knownFlags; unknown != 0 {
		return cond, fmt.Errorf("%w: flags %#x", kvdb.ErrIllegal, uint64(unknown))
	}
	if flags&kvdb.KVModifiedIndex != 0 {
		cond.Modified = orNone(kvp.ModifiedIndex)
	}
	if flags&kvdb.KVCreatedIndex != 0 {
		cond.Created = orNone(kvp.CreatedIndex)
	}
	return cond, nil
}

func orNone(index uint64) uint64 {
	if index == 0 || index > driver.NoIndex {
		return driver.NoIndex
	}
	return index
}

func (kv *view) put(key string, value interface{}, ttl uint64, cond driver.Cond, action kvdb.KVAction) (*kvdb.KVPair, error) {
	w, err := kv.newWrite(key, value, ttl)
	if err != nil {
		return nil, err
	}
	w.Cond = cond
	ctx, cancel, err := kv.begin()
	if err != nil {
		return nil, err
	}
	defer cancel()
	var pair *kvdb.KVPair
	if isShared(value) {
		pair = driver.NewPair(w.Value)
		w.Value = pair.Value
	} else {
		pair = &kvdb.KVPair{Value: w.Value}
	}
	indexes, existing, err := kv.write(ctx, w)
	if err != nil {
		if existing != nil {
			kv.found(existing, w.Key)
		}
		return existing, err
	}
	pair.Key = kv.relative(w.Key)
	pair.Action = action
	pair.TTL = int64(ttl)
	pair.KVDBIndex, pair.CreatedIndex, pair.ModifiedIndex = indexes.Modified, indexes.Created, indexes.Modified
	return pair, nil
}

// write sends w. If w creates a key that exists, write also returns the existing pair if
// the store knows it.
func (i *instance) write(ctx context.Context, w driver.Write) (driver.Indexes, *kvdb.KVPair, error) {
	if creator, ok := i.store.(driver.Creator); ok && w.Cond.Absent {
		return creator.Create(ctx, w)
	}
	indexes, err := i.store.Put(ctx, w)
	return indexes, nil, err
}

// isShared reports whether the encoding of value is memory of the caller.
func isShared(value interface{}) bool {
	_, shared := value.([]byte)
	return shared
}

// newWrite checks the arguments of a write and encodes the value. The Value of the write
// is memory of the caller if isShared(value).
func (i *instance) newWrite(key string, value interface{}, ttl uint64) (driver.Write, error) {
	w := driver.Write{Object: value}
	var err error
	if w.Key, err = i.key(key); err != nil {
		return w, err
	}
	if w.TTL, err = i.ttl(ttl); err != nil {
		return w, err
	}
	if w.Value, err = common.ToBytes(value); err != nil {
		return w, fmt.Errorf("%w: value of key %q: %w", kvdb.ErrIllegal, key, err)
	}
	if len(w.Value) == 0 && i.profile.NoEmptyValue {
		return w, kvdb.ErrEmptyValue
	}
	if limit := i.profile.MaxValue; limit > 0 && len(w.Value) > limit {
		return w, fmt.Errorf("%w: value of key %q has %d bytes, the limit is %d", kvdb.ErrTooLarge, key, len(w.Value), limit)
	}
	return w, nil
}

// ttl converts the caller's TTL, in seconds, and checks that the store can honour it.
func (i *instance) ttl(seconds uint64) (time.Duration, error) {
	if seconds == 0 {
		return 0, nil
	}
	if i.profile.NoTTL || seconds > math.MaxInt64/uint64(time.Second) {
		return 0, kvdb.ErrTTLNotSupported
	}
	ttl := time.Duration(seconds) * time.Second
	if ttl < i.profile.MinTTL || i.profile.MaxTTL > 0 && ttl > i.profile.MaxTTL {
		return 0, kvdb.ErrTTLNotSupported
	}
	return ttl, nil
}

// Delete removes the pair at key and returns it.
func (kv *view) Delete(key string) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("delete", key)
	if op != nil {
		defer op.end(&err)
	}
	return kv.delete(key, driver.Cond{})
}

// CompareAndDelete removes the pair at kvp.Key if the conditions hold.
func (kv *view) CompareAndDelete(kvp *kvdb.KVPair, flags kvdb.KVFlags) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("compare_and_delete", keyOf(kvp))
	if op != nil {
		defer op.end(&err)
	}
	cond, err := indexCond(kvp, flags)
	if err != nil {
		return nil, err
	}
	if flags&(kvdb.KVModifiedIndex|kvdb.KVCreatedIndex) == 0 {
		cond.HasValue, cond.Value = true, kvp.Value
	}
	cond.Present = true
	return kv.delete(kvp.Key, cond)
}

func (kv *view) delete(key string, cond driver.Cond) (*kvdb.KVPair, error) {
	full, err := kv.key(key)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := kv.begin()
	if err != nil {
		return nil, err
	}
	defer cancel()
	pair, err := kv.store.Delete(ctx, full, cond)
	if pair == nil && err == nil {
		err = kv.broken("Delete of a missing key must return kvdb.ErrNotFound")
	}
	if err != nil {
		return nil, err
	}
	pair.Key = kv.relative(full)
	pair.Action = kvdb.KVDelete
	return pair, nil
}

// DeleteTree removes everything below the directory prefix.
func (kv *view) DeleteTree(prefix string) (err error) {
	kv, op := kv.start("delete_tree", prefix)
	if op != nil {
		defer op.end(&err)
	}
	dir, err := kv.directory(prefix, kvdb.DefaultSeparator)
	if err != nil {
		return err
	}
	return kv.run(func(ctx context.Context) error { return kv.store.DeletePrefix(ctx, dir) })
}

// run calls f as one call of the view.
func (kv *view) run(f func(ctx context.Context) error) error {
	ctx, cancel, err := kv.begin()
	if err != nil {
		return err
	}
	defer cancel()
	return f(ctx)
}

// SnapPut records a pair with the indexes it carries, in a snapshot.
func (kv *view) SnapPut(kvp *kvdb.KVPair) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("snap_put", keyOf(kvp))
	if op != nil {
		defer op.end(&err)
	}
	snapshot, ok := kv.store.(driver.SnapPutter)
	if !ok {
		return nil, kvdb.ErrNotSupported
	}
	if kvp == nil {
		return nil, errNoPair
	}
	full, err := kv.key(kvp.Key)
	if err != nil {
		return nil, err
	}
	err = kv.run(func(ctx context.Context) error { return snapshot.SnapPut(ctx, full, kvp) })
	if err != nil {
		return nil, err
	}
	pair := *kvp
	pair.Value = bytes.Clone(kvp.Value)
	return &pair, nil
}

// Compact removes the history before index.
func (kv *view) Compact(index uint64) (err error) {
	kv, op := kv.start("compact", "")
	if op != nil {
		defer op.end(&err)
	}
	c, ok := kv.store.(driver.Compacter)
	if !ok {
		return kvdb.ErrNotSupported
	}
	return kv.run(func(ctx context.Context) error { return c.Compact(ctx, index) })
}

// Serialize encodes all pairs of the domain as JSON.
func (kv *view) Serialize() (_ []byte, err error) {
	kv, op := kv.start("serialize", "")
	if op != nil {
		defer op.end(&err)
	}
	page, err := kv.list(kv.prefix, driver.ListOptions{TTL: true})
	if err != nil {
		return nil, err
	}
	return kv.SerializeAll(slices.DeleteFunc(page.Pairs, func(pair *kvdb.KVPair) bool { return isForeign(pair.Key) }))
}

// Deserialize decodes the pairs that Serialize encoded.
func (kv *view) Deserialize(encoded []byte) (kvdb.KVPairs, error) {
	return kv.DeserializeAll(encoded)
}
