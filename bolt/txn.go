package bolt

import (
	"bytes"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/eventlog"
	"github.com/portworx/kvdb/internal/tree"
)

// txn is a transaction that makes the writes of a batch, one after the other.
type txn struct {
	path            string // of the file, for errors
	id              int    // of the transaction in bbolt
	pairs, expiries *bbolt.Bucket
	now             int64  // Unix time in ns
	before, index   uint64 // the index of the last change before the transaction, and now
	changed         bool   // there is something to commit
	events          []eventlog.Event
	resetTimer      bool  // set the timer to earliest even if it is set to an earlier time
	earliest        int64 // the earliest expiry that the transaction wrote or read, 0 for none
	failed          error // an error of bbolt, which undoes the whole transaction
}

// run makes the writes, and sets the err of each.
func (t *txn) run(tx *bbolt.Tx, writes []*write) error {
	t.id, t.pairs, t.expiries = tx.ID(), tx.Bucket(pairsBucket), tx.Bucket(expiriesBucket)
	t.index = t.pairs.Sequence()
	t.before = t.index
	for _, last := range []bool{false, true} {
		for _, w := range writes {
			if w.last != last {
				continue
			}
			if w.err = w.apply(t); t.failed != nil {
				return t.failed
			}
		}
	}
	if t.index == t.before {
		return nil
	}
	t.changed = true
	return t.pairs.SetSequence(t.index)
}

// fail records an error of bbolt.
func (t *txn) fail(err error) {
	if t.failed == nil {
		t.failed = err
	}
}

// get returns the record at key, or nil. It deletes a record that has expired. The value
// is valid only until the transaction is committed.
func (t *txn) get(key string) (*tree.Record, error) {
	encoded := t.pairs.Get([]byte(key))
	if encoded == nil {
		return nil, nil
	}
	r, err := decodeRecord(encoded)
	if err != nil {
		return nil, unreadable(t.path, []byte(key), err)
	}
	if expired(r, t.now) {
		t.remove(key, &r)
		return nil, nil
	}
	return &r, nil
}

// check is get, and returns an error if the condition c does not hold.
func (t *txn) check(key string, c driver.Cond) (*tree.Record, error) {
	old, err := t.get(key)
	switch {
	case err != nil:
		return nil, err
	case old == nil:
		return nil, c.CheckMissing()
	}
	return old, c.Check(old.Created, old.Modified, old.Value)
}

// set writes w in place of old, which may be nil.
func (t *txn) set(w driver.Write, old *tree.Record) driver.Indexes {
	r, encoded := t.prepare(w, old)
	t.put(w.Key, encoded)
	return driver.Indexes{Created: r.Created, Modified: r.Modified}
}

// prepare is set without the put: the caller puts the encoded record.
func (t *txn) prepare(w driver.Write, old *tree.Record) (r *tree.Record, encoded []byte) {
	t.index++
	r = &tree.Record{Created: t.index, Modified: t.index}
	action := kvdb.KVCreate
	if old != nil {
		r.Created = old.Created
		action = kvdb.KVSet
		t.unschedule(old)
	}
	if w.TTL > 0 {
		r.Expires = t.now + int64(w.TTL)
		t.schedule(w.Key, r)
	}
	encoded = encodeRecord(r, w.Value)
	t.events = append(t.events, eventlog.Event{Key: w.Key, Action: action, Record: r, Index: t.index})
	return r, encoded
}

func (t *txn) put(key string, encoded []byte) {
	if err := t.pairs.Put([]byte(key), encoded); err != nil {
		t.fail(err)
	}
}

// remove deletes key, whose record is old. It copies old's value, so that old stays valid
// after the transaction.
func (t *txn) remove(key string, old *tree.Record) {
	t.index++
	old.Value = bytes.Clone(old.Value)
	t.unschedule(old)
	if err := t.pairs.Delete([]byte(key)); err != nil {
		t.fail(err)
	}
	t.events = append(t.events, eventlog.Event{Key: key, Action: kvdb.KVDelete, Record: old, Index: t.index})
}

// schedule adds the expiry of the record at key.
func (t *txn) schedule(key string, r *tree.Record) {
	if err := t.expiries.Put(expiryKey(r), []byte(key)); err != nil {
		t.fail(err)
	}
	t.scheduled(r.Expires)
}

// scheduled updates earliest with the time of an expiry, 0 for none.
func (t *txn) scheduled(at int64) {
	if at != 0 && (t.earliest == 0 || at < t.earliest) {
		t.earliest = at
	}
}

func (t *txn) unschedule(r *tree.Record) {
	if r.Expires != 0 {
		t.drop(expiryKey(r))
	}
}

// drop deletes an entry in the bucket of expiries.
func (t *txn) drop(entry []byte) {
	t.changed = true
	if err := t.expiries.Delete(entry); err != nil {
		t.fail(err)
	}
}

func expired(r tree.Record, now int64) bool { return r.Expires != 0 && r.Expires <= now }
