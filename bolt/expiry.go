package bolt

import "time"

const (
	// reapBatch bounds the keys that expire in one transaction.
	reapBatch = 1000
	// reapRetry is the time after which expired keys, which nobody sees any
	// more, are deleted when that failed (the disk is full, say).
	reapRetry = 10 * time.Second
)

// arm sets the timer to the time at, in ns of Unix time, unless it is set to an
// earlier one or at is 0. The caller has the turn.
func (db *database) arm(at int64) {
	if at == 0 || db.nextExpiry != 0 && db.nextExpiry <= at {
		return
	}
	db.nextExpiry = at
	wait := time.Duration(at - time.Now().UnixNano())
	if db.timer == nil {
		db.timer = time.AfterFunc(wait, db.expire)
	} else {
		db.timer.Reset(wait)
	}
}

// expire is what the timer calls. What is left when it returns sets the timer
// again.
func (db *database) expire() {
	if _, err := db.reap(); err == nil {
		return
	}
	select {
	case <-db.turn:
		db.nextExpiry = 0
		db.arm(time.Now().Add(reapRetry).UnixNano())
		db.turn <- struct{}{}
	case <-db.lifetime.Done():
	}
}

// reap deletes keys that have expired; more reports whether there are others.
func (db *database) reap() (more bool, err error) {
	err = db.update(db.lifetime, &write{apply: func(t *txn) (err error) {
		more, err = t.reap()
		return err
	}})
	return more, err
}

func (t *txn) reap() (more bool, err error) {
	entries, keys, next, err := due(t.expiries.Cursor(), t.now, reapBatch)
	if err != nil {
		return false, corrupt(t.path, err)
	}
	for i, key := range keys {
		// get deletes what has expired, and its entry.
		if _, err := t.get(string(key)); err != nil {
			return false, err
		}
		if t.expiries.Get(entries[i]) != nil { // of a value that is no more
			t.drop(entries[i])
		}
	}
	t.rearm = true
	t.scheduled(next)
	return next != 0 && next <= t.now, nil
}

// due returns at most limit entries of the bucket of expiries that are due, with
// their keys, and the time of the next one, 0 for none.
func due(c cursor, now int64, limit int) (entries, keys [][]byte, next int64, err error) {
	for entry, key := c.Seek(nil); entry != nil; entry, key = c.Next() {
		at, err := expiryTime(entry)
		if err != nil || at > now || len(entries) == limit {
			return entries, keys, at, err
		}
		entries, keys = append(entries, entry), append(keys, key)
	}
	return entries, keys, 0, nil
}
