package test

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/portworx/kvdb"
)

// retry commits the transaction of f, and repeats it after ErrModified.
func retry(kv kvdb.Kvdb, f func(tx kvdb.Tx) error) error {
	for {
		tx, err := kv.TxNew()
		if err != nil {
			return err
		}
		if err = f(tx); err == nil {
			err = tx.Commit()
		}
		if err != kvdb.ErrModified {
			return err
		}
	}
}

// add adds to a number in a transaction.
func add(tx kvdb.Tx, key string, n int) error {
	var value int
	_, err := tx.GetVal(key, &value)
	if err == nil {
		_, err = tx.Put(key, value+n, 0)
	}
	return err
}

func txCounter(e *env) {
	const callers, increments = 6, 6
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	e.put("key", 0)
	e.concurrently(callers, func(i int) error {
		for range increments {
			if err := retry(kvs[i%2], func(tx kvdb.Tx) error { return add(tx, "key", 1) }); err != nil {
				return err
			}
		}
		return nil
	})
	e.counted("key", callers*increments, "Commit must check what the transaction read and write in one step")
}

// Two transactions read the same keys, and each writes another one of them. The second to
// commit fails, because a key that it only read has changed.
func txReadsAreChecked(e *env) {
	if e.traits.SingleKeyTx {
		return // another case asserts that
	}
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	keys := []string{"one", "two"}
	for range 10 {
		e.put("one", "before")
		e.put("two", "before")
		var txs []kvdb.Tx
		for i, kv := range kvs {
			tx, err := kv.TxNew()
			e.NoError(err)
			e.txHolds(tx, "one", "before")
			e.txHolds(tx, "two", "before")
			e.txWrites(tx, keys[i], "after")
			txs = append(txs, tx)
		}
		errs := concurrently(2, func(i int) error { return txs[i].Commit() })
		e.ElementsMatch([]error{nil, kvdb.ErrModified}, errs, "each of two transactions writes a key that the other read: one Commit must succeed, and the other return kvdb.ErrModified itself, "+
			"because keys that a transaction only read are checked too")
	}
}

// While transactions move amounts between accounts, every read shows the same sum.
func txAllOrNone(e *env) {
	if e.traits.SingleKeyTx {
		return // another case asserts that
	}
	const accounts, total = 4, 400
	account := func(i int) string { return "account/" + strconv.Itoa(i%accounts) }
	for i := range accounts {
		e.put(account(i), total/accounts)
	}
	sums := func(int) error {
		pairs, err := e.kv.Enumerate("account/")
		sum := 0
		for _, pair := range pairs {
			n, convErr := strconv.Atoi(string(pair.Value))
			sum, err = sum+n, errors.Join(err, convErr)
		}
		if err == nil && sum != total {
			err = fmt.Errorf("a read sees a part of a transaction: the sum is %d", sum)
		}
		return err
	}
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	e.during(sums, 10, func(round int) {
		e.concurrently(4, func(i int) error {
			return retry(kvs[i%2], func(tx kvdb.Tx) error {
				return errors.Join(add(tx, account(i), -1), add(tx, account(i+round%3+1), 1))
			})
		})
	})
}
