package kvdb

import (
	"context"
	"errors"
	"fmt"
)

// write writes pairs in order, and returns how many of them are certainly written.
func (m *many) write(pairs []*KVPair) (n int, err error) {
	for n < len(pairs) && err == nil {
		if err = m.ended(); err != nil {
			break
		}
		wrote := 0
		wrote, err = m.commit(pairs[n:])
		n += wrote
	}
	return n, err
}

// ended returns the error of the context, or nil.
func (m *many) ended() error {
	err, cause := m.ctx.Err(), context.Cause(m.ctx)
	if err == nil || err == cause {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// maxPairs is the maximum number of pairs in a transaction.
func (m *many) maxPairs() int {
	if m.single.Load() {
		return 1
	}
	return int(m.ops.Load())
}

// commit writes the longest start of pairs that one transaction can hold, and returns how
// many pairs these are.
func (m *many) commit(pairs []*KVPair) (int, error) {
	pairs = pairs[:min(len(pairs), m.maxPairs())]
	if m.single.Load() || len(pairs) == 1 && m.guard == nil {
		return m.writeOne(pairs[0])
	}
	tx, err := m.kv.TxNew()
	if err != nil {
		return m.writeFewer(pairs, err)
	}
	added := addTo(tx, pairs)
	if added == 0 {
		_ = tx.Abort()
		return m.writeOne(pairs[0])
	}
	if m.guard != nil {
		err = TxGuard(tx, m.guard)
	}
	if err == nil {
		err = tx.Commit()
	} else {
		_ = tx.Abort()
	}
	if err != nil {
		return m.writeFewer(pairs[:added], err)
	}
	return added, nil
}

// addTo adds pairs to tx until it refuses one, and returns how many it has added.
func addTo(tx Tx, pairs []*KVPair) int {
	for i, pair := range pairs {
		var err error
		if deletes(pair) {
			err = TxDelete(tx, pair.Key)
		} else {
			_, err = tx.Put(pair.Key, pair.Value, uint64(pair.TTL))
		}
		if err != nil {
			return i
		}
	}
	return len(pairs)
}

// writeFewer is commit after a transaction over all of pairs has failed with err.
func (m *many) writeFewer(pairs []*KVPair, err error) (int, error) {
	switch {
	case errors.Is(err, ErrNotSupported):
		m.single.Store(true)
		return m.writeOne(pairs[0])
	case !errors.Is(err, ErrTooLarge):
		return 0, err
	case len(pairs) == 1:
		return m.writeOne(pairs[0])
	}
	half := len(pairs) / 2
	m.ops.Store(min(m.ops.Load(), int64(half)))
	return m.commit(pairs[:half])
}

// writeOne writes a pair without a transaction.
func (m *many) writeOne(pair *KVPair) (int, error) {
	select {
	case <-m.lost:
		return 0, ErrInvalidLock
	default:
	}
	var err error
	if deletes(pair) {
		if _, err = m.kv.Delete(pair.Key); errors.Is(err, ErrNotFound) {
			err = nil
		}
	} else {
		_, err = m.kv.Put(pair.Key, pair.Value, uint64(pair.TTL))
	}
	if err != nil {
		return 0, fmt.Errorf("key %q: %w", pair.Key, err)
	}
	return 1, nil
}

// deletes reports whether the pair stands for a deletion.
func deletes(pair *KVPair) bool { return pair.Action == KVDelete || pair.Action == KVExpire }
