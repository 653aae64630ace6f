package test_test

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/portworx/kvdb"
)

// txs is a mutant that puts something between the instance and its transactions.
type txs struct {
	sound
	between func(tx txOf) kvdb.Tx
}

func txsOf(between func(tx txOf) kvdb.Tx) func(sound) kvdb.Kvdb {
	return func(s sound) kvdb.Kvdb { return txs{s, between} }
}

func (m txs) BindContext(ctx context.Context) kvdb.Kvdb {
	return txs{sound{kvdb.WithContext(ctx, m.Kvdb)}, m.between}
}

func (m txs) Limits() kvdb.Limits { return kvdb.LimitsOf(m.Kvdb) }

func (m txs) TxNew() (kvdb.Tx, error) {
	tx, err := m.Kvdb.TxNew()
	if err != nil {
		return nil, err
	}
	return m.between(txOf{tx, m.Kvdb}), nil
}

// txOf is a transaction of kv.
type txOf struct {
	kvdb.Tx
	kv kvdb.Kvdb
}

func (t txOf) Guard(lock *kvdb.KVPair) error { return kvdb.TxGuard(t.Tx, lock) }
func (t txOf) Delete(key string) error       { return kvdb.TxDelete(t.Tx, key) }

// readsStore reads what the transaction has deleted.
type readsStore struct{ txOf }

func (t readsStore) Get(key string) (*kvdb.KVPair, error) {
	pair, err := t.txOf.Get(key)
	if err == kvdb.ErrNotFound {
		return t.kv.Get(key)
	}
	return pair, err
}

// deletesPresent fails if a key to delete does not exist.
type deletesPresent struct{ txOf }

func (t deletesPresent) Delete(key string) error {
	if _, err := t.kv.Get(key); err != nil {
		return err
	}
	return t.txOf.Delete(key)
}

// deletesLater deletes after the commit.
type deletesLater struct {
	txOf
	keys []string
}

func (t *deletesLater) Delete(key string) error {
	t.keys = append(t.keys, key)
	return nil
}

func (t *deletesLater) Commit() error {
	err := t.txOf.Commit()
	for _, key := range t.keys {
		if err == nil {
			_, err = t.kv.Delete(key)
		}
		if err == kvdb.ErrNotFound {
			err = nil
		}
	}
	return err
}

// deletesEmptied writes an empty value instead.
type deletesEmptied struct{ txOf }

func (t deletesEmptied) Delete(key string) error {
	_, err := t.Put(key, "", 0)
	return err
}

// deletesAnyway deletes what has changed since it was read.
type deletesAnyway struct{ deletesLater }

func (t *deletesAnyway) Commit() error {
	err := t.deletesLater.Commit()
	if err == kvdb.ErrModified && len(t.keys) > 0 {
		_, err = t.kv.Delete(t.keys[0])
	}
	return err
}

// readsDeleted counts a key to delete as read.
type readsDeleted struct{ txOf }

func (t readsDeleted) Delete(key string) error {
	_, _ = t.Get(key) // it may be missing
	return t.txOf.Delete(key)
}

// deletesTrees also deletes what is below a key.
type deletesTrees struct{ txOf }

func (t deletesTrees) Delete(key string) error {
	return errors.Join(t.kv.DeleteTree(key), t.txOf.Delete(key))
}

// deletesFew takes no more than ten deletions.
type deletesFew struct {
	txOf
	n int
}

func (t *deletesFew) Delete(key string) error {
	if t.n++; t.n > 10 {
		return kvdb.ErrTooLarge
	}
	return t.txOf.Delete(key)
}

// unlockingDeletes is a backend where the deletion of a key releases the lock at it.
type unlockingDeletes struct {
	sound
	locks *sync.Map // key → pair
}

func (m unlockingDeletes) LockWithTimeout(key, owner string, try, hold time.Duration) (*kvdb.KVPair, error) {
	pair, err := m.Kvdb.LockWithTimeout(key, owner, try, hold)
	if err == nil {
		m.locks.Store(key, pair)
	}
	return pair, err
}

func (m unlockingDeletes) TxNew() (kvdb.Tx, error) {
	tx, err := m.Kvdb.TxNew()
	return unlockingTx{txOf{tx, m.Kvdb}, m.locks}, err
}

type unlockingTx struct {
	txOf
	locks *sync.Map
}

func (t unlockingTx) Delete(key string) error {
	if pair, locked := t.locks.LoadAndDelete(key); locked {
		_ = t.kv.Unlock(pair.(*kvdb.KVPair)) // it may not be held
	}
	return t.txOf.Delete(key)
}

// unguardedTx ignores guards.
type unguardedTx struct{ txOf }

func (unguardedTx) Guard(*kvdb.KVPair) error { return nil }

// writes is a mutant that changes the writes of transactions.
type writes struct {
	txOf
	change func(key string, value []byte, ttl uint64) (string, []byte, uint64)
}

func writesOf(change func(key string, value []byte, ttl uint64) (string, []byte, uint64)) func(sound) kvdb.Kvdb {
	return txsOf(func(tx txOf) kvdb.Tx { return writes{tx, change} })
}

func (t writes) Put(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	if encoded, ok := value.([]byte); ok {
		key, value, ttl = t.change(key, encoded, ttl)
	}
	return t.txOf.Put(key, value, ttl)
}

// firstWins keeps the first value of a key.
type firstWins struct{ txOf }

func (t firstWins) Put(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	if pair, err := t.kv.Get(key); err == nil {
		return pair, nil
	}
	return t.txOf.Put(key, value, ttl)
}

var txMutants = map[string]func(sound) kvdb.Kvdb{
	"TxDelete/OwnDeletionsFirst": txsOf(func(tx txOf) kvdb.Tx { return readsStore{tx} }),
	"TxDelete/Missing":           txsOf(func(tx txOf) kvdb.Tx { return deletesPresent{tx} }),
	"TxDelete/SeveralKeys":       txsOf(func(tx txOf) kvdb.Tx { return deletesEmptied{tx} }),
	"TxDelete/KeysAboveKeys":     txsOf(func(tx txOf) kvdb.Tx { return deletesTrees{tx} }),
	"TxDelete/Conflict":          txsOf(func(tx txOf) kvdb.Tx { return &deletesAnyway{deletesLater{txOf: tx}} }),
	"TxDelete/NoConflict":        txsOf(func(tx txOf) kvdb.Tx { return readsDeleted{tx} }),
	"TxDelete/Guarded":           txsOf(func(tx txOf) kvdb.Tx { return unguardedTx{tx} }),
	"TxDelete/LockStays":         func(s sound) kvdb.Kvdb { return unlockingDeletes{s, &sync.Map{}} },
	"TxDelete/Limit":             txsOf(func(tx txOf) kvdb.Tx { return &deletesFew{txOf: tx} }),
	"TxDelete/AllOrNone":         txsOf(func(tx txOf) kvdb.Tx { return &deletesLater{txOf: tx} }),
	"PutMany/Content#TTL": writesOf(func(key string, value []byte, _ uint64) (string, []byte, uint64) {
		return key, value, 0
	}),
	"PutMany/Content#lost": txsOf(func(tx txOf) kvdb.Tx { return firstWins{tx} }),
	"PutMany/Order":        txsOf(func(tx txOf) kvdb.Tx { return firstWins{tx} }),
	"PutMany/LargeValues": writesOf(func(key string, value []byte, ttl uint64) (string, []byte, uint64) {
		return key, value[:min(len(value), 1000)], ttl
	}),
	"PutMany/BadPair": writesOf(func(key string, value []byte, ttl uint64) (string, []byte, uint64) {
		return cmp.Or(key, "none"), value, ttl
	}),
	"PutMany/Guard": txsOf(func(tx txOf) kvdb.Tx { return unguardedTx{tx} }),
}
