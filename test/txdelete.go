package test

import (
	"errors"
	"fmt"

	"github.com/portworx/kvdb"
)

var txDeleteGroup = group{name: "TxDelete", calls: "kvdb.TxDelete", needs: []*part{txPart, txDeletePart}, cases: []testCase{
	{name: "OwnDeletionsFirst", run: txDeleteOwnFirst},
	{name: "Missing", run: txDeleteMissing},
	{name: "SeveralKeys", run: txDeleteSeveralKeys},
	{name: "KeysAboveKeys", run: txDeleteKeysAboveKeys},
	{name: "Conflict", run: txDeleteConflict},
	{name: "NoConflict", run: txDeleteNoConflict},
	{name: "Guarded", run: txDeleteGuarded, needs: []*part{lockPart}},
	{name: "LockStays", run: txDeleteLockStays, needs: []*part{lockPart}},
	{name: "Limit", run: txDeleteLimit},
	{name: "AllOrNone", run: txDeleteAllOrNone},
}}

func (e *env) txDeletes(tx kvdb.Tx, keys ...string) {
	e.t.Helper()
	for _, key := range keys {
		e.NoError(kvdb.TxDelete(tx, key))
	}
}

// txMisses asserts that a transaction finds nothing at key.
func (e *env) txMisses(tx kvdb.Tx, key string) {
	e.t.Helper()
	_, err := tx.Get(key)
	e.is(kvdb.ErrNotFound, err)
	var value string
	_, err = tx.GetVal(key, &value)
	e.is(kvdb.ErrNotFound, err)
}

// A transaction sees its own deletions, and the last Put or TxDelete of a key counts. Nobody
// else sees a deletion before Commit.
func txDeleteOwnFirst(e *env) {
	first := e.put("key", "stored")
	tx := e.tx()
	e.ErrorIs(kvdb.TxDelete(tx, ""), kvdb.ErrIllegal)
	e.txDeletes(tx, "key")
	e.txMisses(tx, "key")
	e.txWrites(tx, "key", "again")
	e.txHolds(tx, "key", "again")
	e.txDeletes(tx, "key")
	e.txMisses(tx, "key")
	e.NoError(tx.Prepare())
	e.holds("key", "stored")
	e.NoError(tx.Commit())
	e.missing("key")
	created, err := e.kv.Create("key", "created", 0)
	e.NoError(err)
	e.Greater(created.CreatedIndex, first.ModifiedIndex)

	tx = e.tx()
	e.txDeletes(tx, "key")
	e.txWrites(tx, "key", "last")
	e.NoError(tx.Commit())
	e.holds("key", "last")
	aborted := e.tx()
	e.txDeletes(aborted, "key")
	e.NoError(aborted.Abort())
	e.holds("key", "last")
}

// To delete a key that does not exist is no error, and no event.
func txDeleteMissing(e *env) {
	r := e.watchTree("", e.index())
	for _, key := range e.sideBySide("missing", "dir/missing", "dir/dir/missing") {
		tx := e.tx()
		e.txDeletes(tx, key)
		e.NoError(tx.Commit())
		e.missing(key)
		_, err := e.kv.Create(key, "value", 0)
		e.NoError(err)
		_, err = e.kv.Delete(key)
		e.NoError(err)
		tx = e.tx()
		e.txMisses(tx, key)
		e.txDeletes(tx, key)
		e.NoError(tx.Commit())
	}
	e.put("end", "value")
	if r == nil {
		return
	}
	deletions := 0
	for _, event := range r.until("end") {
		if event.Action == kvdb.KVDelete {
			deletions++
		}
	}
	e.LessOrEqual(deletions, 3, "a deletion of a key that does not exist must not be an event")
}

// A transaction that writes and deletes is one step, with one event for each key that changed.
func txDeleteSeveralKeys(e *env) {
	old, stays := e.put("dir/old", "value"), e.put("dir/stays", "before")
	e.put("dir/_h", "value")
	r := e.watchTree("dir/", stays.ModifiedIndex)
	tx := e.tx()
	e.txWrites(tx, "dir/new", "value")
	e.txDeletes(tx, "dir/old", "dir/missing")
	if e.traits.SingleKeyTx {
		e.except("`ErrNotSupported` over more than one key")
		e.is(kvdb.ErrNotSupported, tx.Commit())
		e.holds("dir/old", "value")
		e.missing("dir/new")
		return
	}
	e.txDeletes(tx, "dir/_h")
	e.txWrites(tx, "dir/stays", "after")
	e.NoError(tx.Commit())
	e.missing("dir/old", "dir/missing", "dir/_h")
	e.holds("dir/new", "value")
	e.holds("dir/stays", "after")
	e.Equal([]string{"dir/new", "dir/stays"}, e.enumerate("dir/"))
	e.put("dir/end", "value")
	if r == nil {
		return
	}
	actions := map[string]kvdb.KVAction{}
	for _, event := range r.until("dir/end") {
		if event.Key == "dir/_h" && event.Action != kvdb.KVDelete {
			continue // its own write
		}
		e.NotContains(actions, event.Key, "a transaction must be one event for each key")
		actions[event.Key] = event.Action
		if event.Action == kvdb.KVDelete {
			e.Greater(event.ModifiedIndex, old.ModifiedIndex, "the ModifiedIndex in the event of a deletion must be that of the transaction")
		}
	}
	want := map[string]kvdb.KVAction{
		"dir/new": kvdb.KVCreate, "dir/stays": kvdb.KVSet, "dir/old": kvdb.KVDelete, "dir/_h": kvdb.KVDelete, "dir/end": kvdb.KVCreate,
	}
	if e.traits.HiddenUnlisted {
		delete(want, "dir/_h")
	}
	e.Equal(want, actions)
}

// Keys above and below those that a transaction deletes do not matter.
func txDeleteKeysAboveKeys(e *env) {
	if e.traits.SingleKeyTx || e.traits.Directories {
		return // other cases assert that
	}
	commit := func(deleted []string, written ...string) {
		e.t.Helper()
		tx := e.tx()
		for _, key := range written {
			e.txWrites(tx, key, "value")
		}
		e.txDeletes(tx, deleted...)
		e.NoError(tx.Commit())
		e.missing(deleted...)
		for _, key := range written {
			e.holds(key, "value")
		}
	}
	commit([]string{"a", "a/b"}, "a/b/c")
	commit([]string{"a/b/c"}, "a")
	commit([]string{"a"}, "a/b")
	commit([]string{"a/b"}, "a")
	commit(nil, "a/b", "a/b/c")
	commit([]string{"a/b", "a"}, "a/b/d")
	e.holds("a/b/c", "value")
	commit([]string{"a", "a/b", "a/b/c", "a/b/d"})
	e.Empty(e.enumerate(""))
	for _, key := range []string{"c", "d"} { // which never had keys below them
		e.put(key, "value")
	}
	commit([]string{"c"}, "c/x")
	commit([]string{"d", "d/x"}, "b")
	e.Equal([]string{"b", "c/x"}, e.enumerate(""))
	_, err := e.kv.Create("a/b/c", "value", 0)
	e.NoError(err)
}

// A transaction that deletes a key that it read, and that has changed since, changes nothing.
func txDeleteConflict(e *env) {
	remove := func() { _, err := e.kv.Delete("key"); e.NoError(err) }
	for name, change := range map[string]func(){
		"changed":   func() { e.put("key", "changed") },
		"rewritten": func() { e.put("key", "before") },
		"deleted":   remove,
		"recreated": func() { remove(); e.put("key", "before") },
		"created":   func() { e.put("absent", "value") },
	} {
		e.NoError(e.kv.DeleteTree(""))
		e.put("key", "before")
		key := "key"
		tx := e.tx()
		if name == "created" {
			key = "absent"
			e.txMisses(tx, key)
		} else {
			e.txHolds(tx, key, "before")
		}
		e.txDeletes(tx, key)
		if !e.traits.SingleKeyTx {
			e.txWrites(tx, "other", "value")
		}
		change()
		before := e.content(e.kv)
		err := tx.Commit()
		e.True(err == kvdb.ErrModified, "%s: Commit returned %v; it must be kvdb.ErrModified itself", name, err)
		e.Equal(before, e.content(e.kv), "%s: a Commit that failed must change nothing", name)
	}
}

// A key that was not read, or has not changed, is deleted.
func txDeleteNoConflict(e *env) {
	e.put("key", "before")
	tx := e.tx()
	e.txDeletes(tx, "key")
	e.txMisses(tx, "key")
	e.put("key", "meanwhile")
	e.NoError(tx.Commit())
	e.missing("key")
	e.put("key", "read")
	tx = e.tx()
	e.txHolds(tx, "key", "read")
	e.txDeletes(tx, "key")
	e.NoError(tx.Commit())
	e.missing("key")
	if e.traits.NoTTL {
		return
	}
	_, err := e.kv.Put("key", "value", someTTL)
	e.NoError(err)
	tx = e.tx()
	e.txDeletes(tx, "key")
	e.NoError(tx.Commit())
	e.missing("key")
}

// A transaction tied to a lock that is not held any more deletes nothing.
func txDeleteGuarded(e *env) {
	lock := e.lock(e.kv, "lock", "me")
	held, late := e.guarded(lock), e.guarded(lock)
	if held == nil {
		return
	}
	e.put("key", "value")
	e.put("stays", "value")
	e.txDeletes(held, "key")
	e.NoError(held.Commit())
	e.missing("key")
	e.txDeletes(late, "stays", "missing")
	e.NoError(e.kv.Unlock(lock))
	e.is(kvdb.ErrInvalidLock, late.Commit())
	e.holds("stays", "value")
}

// A lock at the key stays, as it does when Delete is called.
func txDeleteLockStays(e *env) {
	lock := e.lock(e.kv, "key", "me")
	commit := func() {
		tx := e.tx()
		e.txDeletes(tx, "key")
		e.NoError(tx.Commit())
		e.missing("key")
		e.notLost(lock)
		e.isLocked("key", "me")
	}
	commit()
	if !e.traits.LockSharesKey {
		e.put("key", "value")
		commit()
	}
	e.NoError(e.kv.Unlock(lock))
}

// A transaction can have as many deletions as keys.
func txDeleteLimit(e *env) {
	if e.traits.SingleKeyTx {
		return // another case asserts that
	}
	limit := e.traits.MaxTxOps
	if limit == 0 {
		limit = maxProbeTxOps
	}
	written, deleted := e.tx(), e.tx()
	for i := range limit {
		key := fmt.Sprintf("dir/%04d", i)
		e.txWrites(written, key, "value")
		e.txDeletes(deleted, key)
	}
	e.NoError(written.Commit())
	e.Len(e.enumerate("dir/"), limit)
	e.NoError(deleted.Commit())
	e.Empty(e.enumerate("dir/"))
}

// While transactions move a key, every read shows it at one place.
func txDeleteAllOrNone(e *env) {
	if e.traits.SingleKeyTx {
		return // another case asserts that
	}
	e.put("place/0", "value")
	once := func(int) error {
		pairs, err := e.kv.Enumerate("place/")
		if err == nil && len(pairs) != 1 {
			err = fmt.Errorf("a read sees a part of a transaction: %q", keysOf(pairs))
		}
		return err
	}
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	e.during(once, 20, func(i int) {
		from, to := fmt.Sprint("place/", i), fmt.Sprint("place/", i+1)
		tx, err := kvs[i%2].TxNew()
		e.NoError(err)
		_, err = tx.Put(to, "value", 0)
		e.NoError(errors.Join(err, kvdb.TxDelete(tx, from), tx.Commit()))
	})
}
