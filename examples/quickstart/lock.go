package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/portworx/kvdb"
)

// held returns the lock in a pair that a Lock call returned.
func held(pair *kvdb.KVPair) (kvdb.HeldLock, error) {
	lock, ok := pair.Lock.(kvdb.HeldLock)
	if !ok {
		return nil, fmt.Errorf("the Lock field of a lock's pair is a %T", pair.Lock)
	}
	return lock, nil
}

func (t *tour) lock() error {
	first, err := t.kv.LockWithID("locks/leader", "node-1")
	if err != nil {
		return err
	}
	firstLock, err := held(first)
	if err != nil {
		return err
	}
	t.say("node-1 has the lock, with the fencing token %d", firstLock.Token())

	_, refused := t.kv.LockWithTimeout("locks/leader", "node-2", 50*time.Millisecond, 0)
	if err := wantErr("Lock of a lock that is held", refused, kvdb.ErrExist); err != nil {
		return err
	}
	t.say("node-2 tried for 50 ms: %v", refused)

	type result struct {
		pair *kvdb.KVPair
		err  error
	}
	obtained := make(chan result, 1)
	go func() {
		pair, err := t.kv.LockWithID("locks/leader", "node-2")
		obtained <- result{pair, err}
	}()
	if err := t.kv.Unlock(first); err != nil {
		return err
	}
	second := <-obtained
	if second.err != nil {
		return second.err
	}
	secondLock, err := held(second.pair)
	if err != nil {
		return err
	}
	_, owner, err := t.kv.IsKeyLocked("locks/leader")
	if err != nil {
		return err
	}
	t.say("node-1 unlocked; now %s has it, with the token %d", owner, secondLock.Token())
	if secondLock.Token() <= firstLock.Token() {
		return fmt.Errorf("the token %d of the later holder is not larger than %d", secondLock.Token(), firstLock.Token())
	}
	return errors.Join(want("the owner", owner, "node-2"), t.kv.Unlock(second.pair))
}

// transact moves 30 from one account to another under a lock, and tries to
// once more when the lock is gone.
func (t *tour) transact() error {
	for account, amount := range map[string]int{"accounts/a": 100, "accounts/b": 0} {
		if _, err := t.kv.Put(account, amount, 0); err != nil {
			return err
		}
	}
	lock, err := t.kv.Lock("locks/accounts")
	if err != nil {
		return err
	}
	moved := t.move(lock, 30)
	if err := t.kv.Unlock(lock); err != nil {
		return err
	}
	if errors.Is(moved, kvdb.ErrNotSupported) {
		t.say("this store has no transactions over several keys")
		return nil
	}
	if moved != nil {
		return moved
	}
	late := t.move(lock, 30)
	a, _, errA := kvdb.GetAs[int](t.kv, "accounts/a")
	b, _, errB := kvdb.GetAs[int](t.kv, "accounts/b")
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	t.say("moved 30 from a to b in one step, as holder of a lock: a = %d, b = %d", a, b)
	t.say("the same with the lock given up: %v", late)
	return errors.Join(
		want("account a", a, 70), want("account b", b, 30),
		wantErr("Commit without the lock", late, kvdb.ErrInvalidLock))
}

// move commits only if both accounts are as they were read and lock is held.
func (t *tour) move(lock *kvdb.KVPair, amount int) error {
	tx, err := t.kv.TxNew()
	if err != nil {
		return err
	}
	if err := kvdb.TxGuard(tx, lock); err != nil {
		return err
	}
	for account, change := range map[string]int{"accounts/a": -amount, "accounts/b": amount} {
		var balance int
		if _, err := tx.GetVal(account, &balance); err != nil {
			return err
		}
		if _, err := tx.Put(account, balance+change, 0); err != nil {
			return err
		}
	}
	return tx.Commit()
}
