package test

import (
	"strconv"

	"github.com/portworx/kvdb"
)

var txGroup = group{name: "Transactions", calls: "TxNew, Tx", needs: []*part{txPart}, cases: []testCase{
	{name: "OwnWritesFirst", run: txOwnWritesFirst},
	{name: "Commit", run: txCommit},
	{name: "SeveralKeys", run: txSeveralKeys},
	{name: "Conflict", run: txConflict},
	{name: "NoConflict", run: txNoConflict},
	{name: "Abort", run: txAbort},
	{name: "AfterTheEnd", run: txAfterTheEnd},
	{name: "Prepare", run: txPrepare},
	{name: "Limit", run: txLimit},
	{name: "BadInput", run: txBadInput},
	{name: "Counter", run: txCounter},
	{name: "AllOrNone", run: txAllOrNone},
	{name: "ReadsAreChecked", run: txReadsAreChecked},
	{name: "Limits", run: txLimits},
}}

func (e *env) tx() kvdb.Tx {
	e.t.Helper()
	tx, err := e.kv.TxNew()
	e.NoError(err)
	return tx
}

// txHolds asserts the value that a transaction reads at key.
func (e *env) txHolds(tx kvdb.Tx, key, value string) {
	e.t.Helper()
	pair, err := tx.Get(key)
	e.NoError(err)
	e.Equal(key, pair.Key, "the Key in the pair that Tx.Get returned")
	e.Equal(value, string(pair.Value), "the Value that Tx.Get returned for %q", key)
}

func (e *env) txWrites(tx kvdb.Tx, key string, value interface{}) {
	e.t.Helper()
	_, err := tx.Put(key, value, 0)
	e.NoError(err)
}

// A transaction reads its own writes first, then the store. Nobody else sees its writes
// before Commit.
func txOwnWritesFirst(e *env) {
	stored := e.put("key", "stored")
	tx := e.tx()
	pair, err := tx.Get("key")
	e.NoError(err)
	e.pairIs("Tx.Get", pair, "key", "stored", kvdb.KVGet, stored.CreatedIndex, stored.ModifiedIndex)
	e.txWrites(tx, "key", "own")
	e.txHolds(tx, "key", "own")
	e.txWrites(tx, "key", object{"x", 1})
	var own object
	_, err = tx.GetVal("key", &own)
	e.NoError(err)
	e.Equal(object{"x", 1}, own)
	e.holds("key", "stored")
	e.NoError(tx.Commit())
	e.holds("key", `{"Name":"x","Count":1}`)

	tx = e.tx()
	_, err = tx.Get("missing")
	e.is(kvdb.ErrNotFound, err)
	e.txWrites(tx, "missing", "no JSON")
	_, err = tx.GetVal("missing", &own)
	e.is(kvdb.ErrUnmarshal, err)
	e.txHolds(tx, "missing", "no JSON")
	e.missing("missing")
	e.NoError(tx.Commit())
	e.holds("missing", "no JSON")
}

// A transaction is one event for each key, with the last value, however often it wrote the
// key.
func txCommit(e *env) {
	created := e.put("key", "before")
	r := e.watchKey("key", created.ModifiedIndex)
	tx := e.tx()
	e.txWrites(tx, "key", "1")
	e.txWrites(tx, "key", "2")
	e.NoError(tx.Commit())
	now := e.holds("key", "2")
	e.Equal(created.CreatedIndex, now.CreatedIndex, createdStays)
	if r != nil {
		event := r.next()
		e.Equal("2", string(event.Value), "the Value in the event of a transaction, which must be the last that it wrote")
		e.acted(kvdb.KVSet, event, "the event of a transaction that wrote a key that exists")
		e.Equal(now.ModifiedIndex, event.ModifiedIndex, "the ModifiedIndex in the event of a transaction must be that of the pair")
	}
	e.put("key", "end")
	r.seesValue("end")
	e.NoError(e.tx().Commit(), "Commit of an empty transaction must succeed")
}

func txSeveralKeys(e *env) {
	e.put("dir/old", "before")
	r := e.watchTree("dir/", e.index())
	tx := e.tx()
	for _, key := range []string{"dir/new", "dir/old", "dir/_h"} {
		e.txWrites(tx, key, "value of "+key)
	}
	if e.traits.SingleKeyTx {
		e.except("`ErrNotSupported` over more than one key")
		e.is(kvdb.ErrNotSupported, tx.Commit())
		e.missing("dir/new", "dir/_h")
		e.holds("dir/old", "before")
		return
	}
	e.NoError(tx.Commit())
	e.put("dir/end", "value")
	for _, key := range []string{"dir/new", "dir/old", "dir/_h"} {
		e.holds(key, "value of "+key)
	}
	if r == nil {
		return
	}
	actions := map[string]kvdb.KVAction{}
	for _, event := range r.until("dir/end") {
		e.NotContains(actions, event.Key, "a transaction must be one event for each key")
		actions[event.Key] = event.Action
		e.Equal(e.holds(event.Key, string(event.Value)).ModifiedIndex, event.ModifiedIndex, "the ModifiedIndex in the event of a transaction must be that of the pair")
	}
	e.Equal(map[string]kvdb.KVAction{
		"dir/new": kvdb.KVCreate, "dir/old": kvdb.KVSet, "dir/_h": kvdb.KVCreate, "dir/end": kvdb.KVCreate,
	}, actions)
}

// A transaction that read a key that has changed since writes nothing.
func txConflict(e *env) {
	remove := func() { _, err := e.kv.Delete("key"); e.NoError(err) }
	for _, c := range []struct {
		name, read string
		change     func()
	}{
		{"changed", "key", func() { e.put("key", "changed") }},
		{"rewritten", "key", func() { e.put("key", "before") }},
		{"deleted", "key", remove},
		{"recreated", "key", func() { remove(); e.put("key", "before") }},
		{"created", "absent", func() { e.put("absent", "value") }},
	} {
		for _, written := range []string{c.read, "written"} {
			if e.traits.SingleKeyTx && written != c.read {
				continue
			}
			e.NoError(e.kv.DeleteTree(""))
			e.put("key", "before")
			tx := e.tx()
			if c.read == "key" {
				e.txHolds(tx, c.read, "before")
			} else {
				_, err := tx.Get(c.read)
				e.is(kvdb.ErrNotFound, err)
			}
			e.txWrites(tx, written, "by the transaction")
			c.change()
			before := e.content(e.kv)
			err := tx.Commit()
			e.True(err == kvdb.ErrModified, "%s: Commit returned %v; it must be kvdb.ErrModified itself", c.name, err)
			e.Equal(before, e.content(e.kv), "%s: a Commit that failed must write nothing", c.name)
		}
	}
}

// A key that was written and not read causes no conflict.
func txNoConflict(e *env) {
	e.put("key", "before")
	tx := e.tx()
	e.txWrites(tx, "key", "by the transaction")
	e.txHolds(tx, "key", "by the transaction")
	e.put("key", "meanwhile")
	e.NoError(tx.Commit())
	e.holds("key", "by the transaction")
	tx = e.tx()
	e.txHolds(tx, "key", "by the transaction")
	e.txWrites(tx, "key", "read and written")
	e.put("other", "meanwhile")
	e.NoError(tx.Commit())
	e.holds("key", "read and written")
	tx = e.tx()
	e.txHolds(tx, "key", "read and written")
	e.NoError(tx.Commit(), "Commit of a transaction that only read must succeed if nothing changed")
	tx = e.tx()
	e.txHolds(tx, "key", "read and written")
	e.put("key", "meanwhile")
	e.is(kvdb.ErrModified, tx.Commit())
}

func txAbort(e *env) {
	tx := e.tx()
	e.txWrites(tx, "key", "value")
	e.NoError(tx.Abort())
	e.missing("key")
}

func txAfterTheEnd(e *env) {
	e.put("key", "value")
	committed, aborted, failed := e.tx(), e.tx(), e.tx()
	e.NoError(committed.Commit())
	e.NoError(aborted.Abort())
	e.txHolds(failed, "key", "value")
	e.put("key", "changed")
	e.is(kvdb.ErrModified, failed.Commit())
	var value string
	for name, tx := range map[string]kvdb.Tx{"committed": committed, "aborted": aborted, "failed": failed} {
		for call, f := range map[string]func() error{
			"Put":     func() error { _, err := tx.Put("key", "x", 0); return err },
			"Get":     func() error { _, err := tx.Get("key"); return err },
			"GetVal":  func() error { _, err := tx.GetVal("key", &value); return err },
			"Prepare": tx.Prepare,
			"Commit":  tx.Commit,
			"Abort":   tx.Abort,
			"kvdb.TxDelete": func() error {
				if e.lacks(txDeletePart) {
					return kvdb.ErrIllegal
				}
				return kvdb.TxDelete(tx, "key")
			},
		} {
			err := f()
			e.True(err == kvdb.ErrIllegal, "%s of a transaction that %s returned %v; it must be kvdb.ErrIllegal itself", call, name, err)
		}
	}
	e.holds("key", "changed")
}

// Prepare sends nothing, and returns the error of a known conflict.
func txPrepare(e *env) {
	e.put("key", "value")
	tx := e.tx()
	e.txHolds(tx, "key", "value")
	e.txWrites(tx, "key", "own")
	e.NoError(tx.Prepare())
	e.holds("key", "value")
	e.NoError(tx.Prepare())
	e.NoError(tx.Commit())
	e.holds("key", "own")

	tx = e.tx()
	e.txHolds(tx, "key", "own")
	e.put("key", "changed")
	_, err := tx.Get("key")
	e.NoError(err)
	e.is(kvdb.ErrModified, tx.Prepare())
	e.is(kvdb.ErrModified, tx.Commit())
}

func txLimit(e *env) {
	if e.traits.SingleKeyTx {
		return // another case asserts that
	}
	limit := e.traits.MaxTxOps
	if limit == 0 {
		limit = maxProbeTxOps
	}
	fill := func(n int) kvdb.Tx {
		tx := e.tx()
		for i := range n {
			e.txWrites(tx, "dir/"+strconv.Itoa(i), "value")
		}
		return tx
	}
	tx := fill(limit)
	e.NoError(tx.Prepare())
	e.NoError(tx.Commit())
	e.Len(e.enumerate("dir/"), limit)
	e.NoError(e.kv.DeleteTree("dir"))
	if e.traits.MaxTxOps == 0 {
		return
	}
	e.except("transactions of up to %d keys", limit)
	tx = fill(limit + 1)
	errs := []error{tx.Prepare(), tx.Commit()}
	if e.traits.ServerTxLimit {
		e.NoError(errs[0], "Prepare must succeed, because it sends nothing to a server that alone knows the limit (Traits.ServerTxLimit)")
		errs = errs[1:]
	}
	for _, err := range errs {
		e.ErrorIs(err, kvdb.ErrTooLarge)
		e.ErrorContains(err, strconv.Itoa(limit))
	}
	e.Empty(e.enumerate("dir/"))
	e.put("dir/key", "the connection is usable")
}

func txBadInput(e *env) {
	tx := e.tx()
	_, err := tx.Put("", "value", 0)
	e.ErrorIs(err, kvdb.ErrIllegal)
	_, err = tx.Get("")
	e.ErrorIs(err, kvdb.ErrIllegal)
	_, err = tx.Put("key", func() {}, 0)
	e.Error(err)
	e.txWrites(tx, "key", "value")
	e.NoError(tx.Commit(), "a Put that was refused must not be part of the transaction")
	e.holds("key", "value")
}
