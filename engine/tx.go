package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// tx keeps its writes until Commit, which applies them if all keys that it read are
// unchanged.
type tx struct {
	kv       *view
	reads    map[string]uint64 // the store's key → ModifiedIndex, 0 for a missing key
	writes   []driver.Write    // one for each key, in the order of the first writes
	ttls     map[string]int64  // the store's key → the TTL of its write
	locks    []driver.Lease
	conflict bool // a key was read twice and had changed in between
	over     bool // after Commit or Abort
}

var (
	_ kvdb.TxGuarder = (*tx)(nil)
	_ kvdb.TxDeleter = (*tx)(nil)
)

// TxNew starts a transaction.
func (kv *view) TxNew() (kvdb.Tx, error) {
	if err := kv.usable(); err != nil {
		return nil, err
	}
	if _, snapshot := kv.store.(driver.SnapPutter); snapshot {
		return nil, driver.ErrSnap
	}
	return &tx{kv: kv, reads: map[string]uint64{}, ttls: map[string]int64{}}, nil
}

func (t *tx) Put(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	if t.over {
		return nil, kvdb.ErrIllegal
	}
	w, err := t.kv.newWrite(key, value, ttl)
	if err != nil {
		return nil, err
	}
	if isShared(value) {
		w.Value = bytes.Clone(w.Value)
	}
	t.add(w, int64(ttl))
	return t.written(w), nil
}

// Delete implements kvdb.TxDeleter.
func (t *tx) Delete(key string) error {
	if t.over {
		return kvdb.ErrIllegal
	}
	if _, ok := t.kv.store.(driver.Transactor); ok && !t.kv.profile.TxDeletes {
		return kvdb.ErrNotSupported
	}
	full, err := t.kv.key(key)
	if err != nil {
		return err
	}
	t.add(driver.Write{Key: full, Delete: true}, 0)
	return nil
}

// add adds w to the transaction. It replaces an earlier write to the key.
func (t *tx) add(w driver.Write, ttl int64) {
	if earlier := t.write(w.Key); earlier != nil {
		*earlier = w
	} else {
		t.writes = append(t.writes, w)
	}
	t.ttls[w.Key] = ttl
}

// write returns the transaction's write to a key, or nil.
func (t *tx) write(full string) *driver.Write {
	if _, written := t.ttls[full]; !written {
		return nil
	}
	for i := range t.writes {
		if t.writes[i].Key == full {
			return &t.writes[i]
		}
	}
	return nil
}

// written returns the pair of a write. It is not in the store yet, so it has no index.
func (t *tx) written(w driver.Write) *kvdb.KVPair {
	value := append([]byte{}, w.Value...)
	return &kvdb.KVPair{Key: t.kv.relative(w.Key), Value: value, Action: kvdb.KVSet, TTL: t.ttls[w.Key]}
}

func (t *tx) Get(key string) (*kvdb.KVPair, error) {
	if t.over {
		return nil, kvdb.ErrIllegal
	}
	full, err := t.kv.key(key)
	if err != nil {
		return nil, err
	}
	if w := t.write(full); w != nil {
		if w.Delete {
			return nil, kvdb.ErrNotFound
		}
		pair := t.written(*w)
		pair.Action = kvdb.KVGet
		return pair, nil
	}
	pair, err := t.kv.Get(key)
	if err != nil && !errors.Is(err, kvdb.ErrNotFound) {
		return nil, err
	}
	modified := uint64(0)
	if err == nil {
		modified = pair.ModifiedIndex
	}
	if earlier, again := t.reads[full]; again && earlier != modified {
		t.conflict = true
	} else {
		t.reads[full] = modified
	}
	return pair, err
}

func (t *tx) GetVal(key string, value interface{}) (*kvdb.KVPair, error) {
	pair, err := t.Get(key)
	if err != nil {
		return nil, err
	}
	return pair, decode(pair.Value, value)
}

// Guard implements kvdb.TxGuarder.
func (t *tx) Guard(lock *kvdb.KVPair) error {
	if t.over {
		return kvdb.ErrIllegal
	}
	if _, ok := t.kv.store.(driver.Transactor); !ok {
		return kvdb.ErrNotSupported
	}
	h := t.kv.held(lock)
	if h == nil {
		return kvdb.ErrInvalidLock
	}
	t.locks = append(t.locks, h.lease)
	return nil
}

func (t *tx) Prepare() error {
	if t.over {
		return kvdb.ErrIllegal
	}
	return t.check()
}

// check returns an error if Commit cannot be sent.
func (t *tx) check() error {
	if t.conflict {
		return kvdb.ErrModified
	}
	profile := t.kv.profile
	keys, size := t.size()
	if _, ok := t.kv.store.(driver.Transactor); !ok && keys > 1 {
		return kvdb.ErrNotSupported
	}
	ops := keys + len(t.locks)
	if profile.MaxTxOps > 0 && ops > profile.MaxTxOps {
		return fmt.Errorf("%w: the transaction has %d operations, the limit is %d", kvdb.ErrTooLarge, ops, profile.MaxTxOps)
	}
	if profile.MaxTxBytes > 0 && size > profile.MaxTxBytes {
		return fmt.Errorf("%w: the transaction has %d bytes, the limit is %d", kvdb.ErrTooLarge, size, profile.MaxTxBytes)
	}
	if checker, ok := t.kv.store.(driver.TxChecker); ok {
		return checker.CheckTx(t.readSet(), t.writes, t.locks)
	}
	return nil
}

func (t *tx) readSet() []driver.Read {
	reads := make([]driver.Read, 0, len(t.reads))
	for key, modified := range t.reads {
		reads = append(reads, driver.Read{Key: key, Modified: modified})
	}
	return reads
}

// size returns the number of keys that the transaction has read or written, and the size of these
// keys and of the values written.
func (t *tx) size() (keys, size int) {
	keys = len(t.writes)
	for _, w := range t.writes {
		size += len(w.Key) + len(w.Value)
	}
	for key := range t.reads {
		if _, written := t.ttls[key]; !written {
			keys++
			size += len(key)
		}
	}
	return keys, size
}

func (t *tx) Commit() (err error) {
	kv, op := t.kv.start("commit", "")
	if op != nil {
		defer op.end(&err)
	}
	if t.over {
		return kvdb.ErrIllegal
	}
	t.over = true
	if err := t.check(); err != nil {
		return err
	}
	if len(t.writes) == 0 && len(t.reads) == 0 && len(t.locks) == 0 {
		return nil
	}
	for _, lock := range t.locks {
		select {
		case <-lock.Lost(): // the store may still have it, but its holder knows it as lost
			return kvdb.ErrInvalidLock
		default:
		}
	}
	return kv.run(t.commit)
}

func (t *tx) commit(ctx context.Context) error {
	transactor, ok := t.kv.store.(driver.Transactor)
	if !ok {
		return t.commitOne(ctx)
	}
	return transactor.Commit(ctx, t.readSet(), t.writes, t.locks)
}

// commitOne commits a transaction over one key without a Transactor.
func (t *tx) commitOne(ctx context.Context) error {
	if len(t.writes) == 0 {
		for key, modified := range t.reads {
			return t.checkRead(ctx, key, modified)
		}
	}
	w := t.writes[0]
	modified, read := t.reads[w.Key]
	if read {
		w.Cond = driver.Cond{Modified: modified, Unborn: modified == 0}
	}
	var err error
	switch {
	case !w.Delete:
		_, err = t.kv.store.Put(ctx, w)
	case w.Cond.Unborn: // there is nothing to delete
		return t.checkRead(ctx, w.Key, 0)
	default:
		_, err = t.kv.store.Delete(ctx, w.Key, w.Cond)
		if !read && errors.Is(err, kvdb.ErrNotFound) {
			return nil
		}
	}
	if errors.Is(err, kvdb.ErrNotFound) { // it existed when it was read
		return kvdb.ErrModified
	}
	return err
}

// checkRead commits a transaction that only read one key.
func (t *tx) checkRead(ctx context.Context, key string, modified uint64) error {
	pair, err := t.kv.get(ctx, key)
	switch {
	case errors.Is(err, kvdb.ErrNotFound):
		if modified != 0 {
			return kvdb.ErrModified
		}
		return nil
	case err != nil:
		return err
	case pair.ModifiedIndex != modified:
		return kvdb.ErrModified
	}
	return nil
}

func (t *tx) Abort() error {
	if t.over {
		return kvdb.ErrIllegal
	}
	t.over = true
	return nil
}
