package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portworx/kvdb"
)

const (
	// handOverWait is the time for which a waiter waits before the holder releases the
	// lock.
	handOverWait = 20 * time.Millisecond
	// lockWaiters is the number of waiters for one lock.
	lockWaiters = 100
)

// locker obtains a lock for one of two clients. It waits while the lock is held.
type locker func(client int, name string) (unlock func() error, err error)

// lockRows compares locks. goal is the goal for a lock without waiters.
func (e *env) lockRows(kvs [2]kvdb.Kvdb, reference, goal string, raw locker) []row {
	ours := func(client int, name string) (func() error, error) {
		pair, err := kvs[client].LockWithTimeout(name, "bench", time.Hour, 0)
		return func() error { return kvs[client].Unlock(pair) }, err
	}
	return []row{
		{"Lock and Unlock", reference, goal, lockAndUnlock(raw), lockAndUnlock(ours)},
		{fmt.Sprintf("Lock handed over to who waits for %v (that included)", handOverWait), reference, "≤ 1.2",
			handOver(raw), handOver(ours)},
		{fmt.Sprintf("Lock that %d wait for, a turn", lockWaiters), "the same, behind a mutex for each client", "≤ 1.5",
			e.takeTurns(oneOfEach(raw)), e.takeTurns(ours)},
	}
}

func lockAndUnlock(lock locker) work {
	return each(func(int) error {
		unlock, err := lock(0, "lock")
		if err != nil {
			return err
		}
		return unlock()
	})
}

// handOver lets client 1 wait for a lock that client 0 holds.
func handOver(lock locker) work {
	return each(func(int) error {
		unlock, err := lock(0, "handover")
		if err != nil {
			return err
		}
		obtained := make(chan error, 1)
		go func() {
			unlock, err := lock(1, "handover")
			if err == nil {
				err = unlock()
			}
			obtained <- err
		}()
		time.Sleep(handOverWait)
		return errors.Join(unlock(), <-obtained)
	})
}

// oneOfEach returns a locker for many waiters of two clients, of which only one of each
// client calls lock, because some stores would wake all waiters at each release.
func oneOfEach(lock locker) locker {
	var queues [2]sync.Mutex
	return func(client int, name string) (func() error, error) {
		queues[client].Lock()
		unlock, err := lock(client, name)
		if err != nil {
			queues[client].Unlock()
			return nil, err
		}
		return func() error { defer queues[client].Unlock(); return unlock() }, nil
	}
}

// takeTurns returns work in which waiters obtain a lock one after the other. Each releases it
// and then waits for it again behind the others.
func (e *env) takeTurns(lock locker) work {
	next, over := make(chan struct{}), make(chan error)
	start := sync.OnceFunc(func() {
		for i := range lockWaiters {
			e.waiting.Go(func() {
				for e.ctx.Err() == nil {
					unlock, err := lock(i%2, "turns")
					if err == nil {
						select {
						case <-next:
						case <-e.ctx.Done():
						}
						err = unlock()
					}
					select {
					case over <- err:
					case <-e.ctx.Done():
					}
				}
			})
		}
	})
	return func(n int) error {
		start()
		for range n {
			var err error
			select {
			case next <- struct{}{}:
				err = <-over
			case err = <-over: // a waiter failed to obtain the lock
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}
