package wrappers

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/portworx/kvdb"
)

// LogLevelOption selects the lines that the log wrapper writes: LogAll (the default),
// LogFailures, or LogOff, which does not open a file.
const LogLevelOption = "LogLevelOption"

// Values of LogLevelOption.
const (
	// LogAll writes a line for each operation.
	LogAll = "all"
	// LogFailures writes a line for each operation that returns an error.
	LogFailures = "failures"
	// LogOff writes nothing.
	LogOff = "off"
)

const defaultLogPath = "kvdb_audit.log"

// logWrapper writes a line for each operation, except for reads of settings, which cannot
// fail.
type logWrapper struct {
	base
	log  *auditLog
	view bool // log belongs to another wrapper
}

var (
	_ kvdb.BatchWatcher  = (*logWrapper)(nil)
	_ kvdb.ContextBinder = (*logWrapper)(nil)
	_ kvdb.Pager         = (*logWrapper)(nil)
	_ kvdb.PagerWith     = (*logWrapper)(nil)
	_ kvdb.TTLReader     = (*logWrapper)(nil)
	_ kvdb.TxGuarder     = (*logTx)(nil)
	_ kvdb.TxDeleter     = (*logTx)(nil)
)

// NewLogWrapper returns a wrapper around kv that writes a line for each operation. It has the
// name, key, indexes, outcome and duration, and never a value or a password. The lines are
// appended to the file that [kvdb.LogPathOption] names, or kvdb_audit.log in the working
// directory. A new file gets mode 0600. The file is closed when the wrapper is removed, and
// by [kvdb.Close]. The start and the end of a watch are logged, its events are not. Calls on
// a snapshot are not logged.
//
// A chain should have only one such wrapper; AddWrapper makes sure of that.
func NewLogWrapper(kv kvdb.Kvdb, options map[string]string) (kvdb.Kvdb, error) {
	log, err := openAuditLog(options)
	if err != nil {
		return nil, err
	}
	return &logWrapper{base: base{kv, kvdb.Wrapper_Log}, log: log}, nil
}

// logged makes one call and writes its line.
func logged[T any](l *auditLog, op, key string, call func() (T, error)) (T, error) {
	start := l.start()
	result, err := call()
	l.write(op, start, err, field{"key", key}, field{"", result})
	return result, err
}

// run is logged for a call that returns an error only.
func (w *logWrapper) run(op string, call func() error, fields ...field) error {
	start := w.log.start()
	err := call()
	w.log.write(op, start, err, fields...)
	return err
}

// Removed closes the log.
func (w *logWrapper) Removed() {
	if !w.view {
		_ = w.log.close() // Removed cannot return an error
	}
}

// Close implements io.Closer; see [kvdb.Close].
func (w *logWrapper) Close() error {
	err := w.run("Close", func() error { return kvdb.Close(w.Kvdb) })
	return errors.Join(err, w.log.close())
}

// BindContext implements [kvdb.ContextBinder]. The view writes to the same log.
func (w *logWrapper) BindContext(ctx context.Context) kvdb.Kvdb {
	return &logWrapper{base: base{kvdb.WithContext(ctx, w.Kvdb), w.name}, log: w.log, view: true}
}

func (w *logWrapper) Get(key string) (*kvdb.KVPair, error) {
	return logged(w.log, "Get", key, func() (*kvdb.KVPair, error) { return w.Kvdb.Get(key) })
}

func (w *logWrapper) GetVal(key string, value interface{}) (*kvdb.KVPair, error) {
	return logged(w.log, "GetVal", key, func() (*kvdb.KVPair, error) { return w.Kvdb.GetVal(key, value) })
}

func (w *logWrapper) GetWithCopy(key string, copySelect kvdb.CopySelect) (interface{}, error) {
	start := w.log.start()
	object, err := w.Kvdb.GetWithCopy(key, copySelect)
	w.log.write("GetWithCopy", start, err, field{"key", key})
	return object, err
}

func (w *logWrapper) Put(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	return logged(w.log, "Put", key, func() (*kvdb.KVPair, error) { return w.Kvdb.Put(key, value, ttl) })
}

func (w *logWrapper) Create(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	return logged(w.log, "Create", key, func() (*kvdb.KVPair, error) { return w.Kvdb.Create(key, value, ttl) })
}

func (w *logWrapper) Update(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	return logged(w.log, "Update", key, func() (*kvdb.KVPair, error) { return w.Kvdb.Update(key, value, ttl) })
}

func (w *logWrapper) Enumerate(prefix string) (kvdb.KVPairs, error) {
	return logged(w.log, "Enumerate", prefix, func() (kvdb.KVPairs, error) { return w.Kvdb.Enumerate(prefix) })
}

func (w *logWrapper) EnumerateWithSelect(prefix string, enumerateSelect kvdb.EnumerateSelect,
	copySelect kvdb.CopySelect) ([]interface{}, error) {
	return logged(w.log, "EnumerateWithSelect", prefix, func() ([]interface{}, error) {
		return w.Kvdb.EnumerateWithSelect(prefix, enumerateSelect, copySelect)
	})
}

func (w *logWrapper) EnumerateKVPWithSelect(prefix string, enumerateSelect kvdb.EnumerateKVPSelect,
	copySelect kvdb.CopyKVPSelect) (kvdb.KVPairs, error) {
	return logged(w.log, "EnumerateKVPWithSelect", prefix, func() (kvdb.KVPairs, error) {
		return w.Kvdb.EnumerateKVPWithSelect(prefix, enumerateSelect, copySelect)
	})
}

// EnumeratePages implements [kvdb.Pager]. Its line is written after the loop over the pairs,
// and has their number.
func (w *logWrapper) EnumeratePages(prefix string, pageSize int) iter.Seq2[*kvdb.KVPair, error] {
	return w.EnumeratePagesWith(prefix, kvdb.PageOptions{Size: pageSize})
}

// EnumeratePagesWith implements [kvdb.PagerWith]. Its line is that of EnumeratePages.
func (w *logWrapper) EnumeratePagesWith(prefix string, o kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		start := w.log.start()
		count, end := 0, error(nil)
		defer func() {
			w.log.write("EnumeratePages", start, end, field{"key", prefix}, field{"count", count})
		}()
		for pair, err := range kvdb.PairsWith(w.Kvdb, prefix, o) {
			if end = err; err == nil {
				count++
			}
			if !yield(pair, err) {
				return
			}
		}
	}
}

// TTLOf implements [kvdb.TTLReader].
func (w *logWrapper) TTLOf(key string) (remaining time.Duration, has bool, err error) {
	err = w.run("TTLOf", func() error {
		remaining, has, err = kvdb.TTLOf(w.Kvdb, key)
		return err
	}, field{"key", key})
	return remaining, has, err
}

func (w *logWrapper) Delete(key string) (*kvdb.KVPair, error) {
	return logged(w.log, "Delete", key, func() (*kvdb.KVPair, error) { return w.Kvdb.Delete(key) })
}

func (w *logWrapper) DeleteTree(prefix string) error {
	return w.run("DeleteTree", func() error { return w.Kvdb.DeleteTree(prefix) }, field{"key", prefix})
}

func (w *logWrapper) Keys(prefix, sep string) ([]string, error) {
	return logged(w.log, "Keys", prefix, func() ([]string, error) { return w.Kvdb.Keys(prefix, sep) })
}

// keyOf returns the key of a pair, or "" for nil.
func keyOf(kvp *kvdb.KVPair) string {
	if kvp == nil {
		return ""
	}
	return kvp.Key
}

func (w *logWrapper) CompareAndSet(kvp *kvdb.KVPair, flags kvdb.KVFlags, prevValue []byte) (*kvdb.KVPair, error) {
	return logged(w.log, "CompareAndSet", keyOf(kvp), func() (*kvdb.KVPair, error) {
		return w.Kvdb.CompareAndSet(kvp, flags, prevValue)
	})
}

func (w *logWrapper) CompareAndDelete(kvp *kvdb.KVPair, flags kvdb.KVFlags) (*kvdb.KVPair, error) {
	return logged(w.log, "CompareAndDelete", keyOf(kvp), func() (*kvdb.KVPair, error) {
		return w.Kvdb.CompareAndDelete(kvp, flags)
	})
}

func (w *logWrapper) WatchKey(key string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	return w.run("WatchKey", func() error {
		return w.Kvdb.WatchKey(key, waitIndex, opaque, w.reportEnd("WatchKeyEnd", key, watchCB))
	}, field{"key", key}, field{"waitIndex", waitIndex})
}

func (w *logWrapper) WatchTree(prefix string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	return w.run("WatchTree", func() error {
		return w.Kvdb.WatchTree(prefix, waitIndex, opaque, w.reportEnd("WatchTreeEnd", prefix, watchCB))
	}, field{"key", prefix}, field{"waitIndex", waitIndex})
}

// WatchBatches implements [kvdb.BatchWatcher].
func (w *logWrapper) WatchBatches(prefix string, waitIndex uint64, batchCB kvdb.WatchBatchCB) error {
	start := w.log.start()
	cb := batchCB
	if cb != nil {
		cb = func(events kvdb.KVPairs, err error) error {
			if err != nil {
				w.log.write("WatchBatchesEnd", start, err, field{"key", prefix})
			}
			return batchCB(events, err)
		}
	}
	return w.run("WatchBatches", func() error {
		return kvdb.WatchBatches(w.Kvdb, prefix, waitIndex, cb)
	}, field{"key", prefix}, field{"waitIndex", waitIndex})
}

// reportEnd returns a callback that calls cb, and writes a line at the end of the watch with
// the duration of the watch.
func (w *logWrapper) reportEnd(op, key string, cb kvdb.WatchCB) kvdb.WatchCB {
	if cb == nil {
		return nil
	}
	start := w.log.start()
	return func(prefix string, opaque interface{}, kvp *kvdb.KVPair, err error) error {
		if err != nil {
			w.log.write(op, start, err, field{"key", key})
		}
		return cb(prefix, opaque, kvp, err)
	}
}

func (w *logWrapper) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	start := w.log.start()
	snapshot, index, err := w.Kvdb.Snapshot(prefixes, consistent)
	if !start.IsZero() {
		w.log.write("Snapshot", start, err, field{"key", strings.Join(prefixes, ",")}, field{"index", index})
	}
	return snapshot, index, err
}

func (w *logWrapper) SnapPut(kvp *kvdb.KVPair) (*kvdb.KVPair, error) {
	return logged(w.log, "SnapPut", keyOf(kvp), func() (*kvdb.KVPair, error) { return w.Kvdb.SnapPut(kvp) })
}

func (w *logWrapper) Lock(key string) (*kvdb.KVPair, error) {
	return logged(w.log, "Lock", key, func() (*kvdb.KVPair, error) { return w.Kvdb.Lock(key) })
}

func (w *logWrapper) LockWithID(key string, lockerID string) (*kvdb.KVPair, error) {
	return w.lock("LockWithID", key, lockerID, func() (*kvdb.KVPair, error) {
		return w.Kvdb.LockWithID(key, lockerID)
	})
}

func (w *logWrapper) LockWithTimeout(key string, lockerID string, lockTryDuration time.Duration,
	lockHoldDuration time.Duration) (*kvdb.KVPair, error) {
	return w.lock("LockWithTimeout", key, lockerID, func() (*kvdb.KVPair, error) {
		return w.Kvdb.LockWithTimeout(key, lockerID, lockTryDuration, lockHoldDuration)
	})
}

func (w *logWrapper) lock(op, key, lockerID string, call func() (*kvdb.KVPair, error)) (*kvdb.KVPair, error) {
	start := w.log.start()
	pair, err := call()
	w.log.write(op, start, err, field{"key", key}, field{"owner", lockerID}, field{"", pair})
	return pair, err
}

func (w *logWrapper) IsKeyLocked(key string) (bool, string, error) {
	start := w.log.start()
	locked, owner, err := w.Kvdb.IsKeyLocked(key)
	w.log.write("IsKeyLocked", start, err, field{"key", key}, field{"owner", owner})
	return locked, owner, err
}

func (w *logWrapper) Unlock(kvp *kvdb.KVPair) error {
	return w.run("Unlock", func() error { return w.Kvdb.Unlock(kvp) }, field{"key", keyOf(kvp)}, field{"", kvp})
}

func (w *logWrapper) TxNew() (kvdb.Tx, error) {
	start := w.log.start()
	tx, err := w.Kvdb.TxNew()
	w.log.write("TxNew", start, err)
	if err != nil {
		return nil, err
	}
	return &logTx{Tx: tx, wrapper: w}, nil
}

// logTx writes a line for the end of a transaction.
type logTx struct {
	kvdb.Tx
	wrapper *logWrapper
}

func (t *logTx) Commit() error { return t.wrapper.run("TxCommit", t.Tx.Commit) }

func (t *logTx) Abort() error { return t.wrapper.run("TxAbort", t.Tx.Abort) }

// Guard implements [kvdb.TxGuarder].
func (t *logTx) Guard(lock *kvdb.KVPair) error { return kvdb.TxGuard(t.Tx, lock) }

// Delete implements [kvdb.TxDeleter].
func (t *logTx) Delete(key string) error { return kvdb.TxDelete(t.Tx, key) }

func (w *logWrapper) Serialize() ([]byte, error) {
	start := w.log.start()
	encoded, err := w.Kvdb.Serialize()
	w.log.write("Serialize", start, err, field{"bytes", len(encoded)})
	return encoded, err
}

func (w *logWrapper) Deserialize(encoded []byte) (kvdb.KVPairs, error) {
	start := w.log.start()
	pairs, err := w.Kvdb.Deserialize(encoded)
	w.log.write("Deserialize", start, err, field{"", pairs})
	return pairs, err
}

func (w *logWrapper) Compact(index uint64) error {
	return w.run("Compact", func() error { return w.Kvdb.Compact(index) }, field{"index", index})
}
