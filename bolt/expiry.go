package bolt

import "time"

const (
	// expiryBatch bounds the keys that expire in one transaction.
	expiryBatch = 1000
	// expiryRetry is the time after which a failed deletion of expired keys, for example
	// because the disk is full, is tried again. Readers do not see the keys meanwhile.
	expiryRetry = 10 * time.Second
)

// setTimer sets the timer to the time at, in ns of Unix time, unless it is set to an
// earlier time or at is 0. The caller holds the write lock.
func (db *database) setTimer(at int64) {
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

// expire deletes a batch of expired keys. The timer calls it. If keys with a TTL are
// left, the commit sets the timer again.
func (db *database) expire() {
	if _, err := db.deleteExpired(); err == nil {
		return
	}
	select {
	case <-db.writeLock:
		db.nextExpiry = 0
		db.setTimer(time.Now().Add(expiryRetry).UnixNano())
		db.writeLock <- struct{}{}
	case <-db.lifetime.Done():
	}
}

// deleteExpired deletes at most expiryBatch keys that have expired, and reports whether
// there are more.
func (db *database) deleteExpired() (more bool, err error) {
	err = db.update(db.lifetime, &write{apply: func(t *txn) (err error) {
		more, err = t.deleteExpired()
		return err
	}})
	return more, err
}

func (t *txn) deleteExpired() (more bool, err error) {
	entries, keys, next, err := due(t.expiries.Cursor(), t.now, expiryBatch)
	if err != nil {
		return false, corrupt(t.path, err)
	}
	for i, key := range keys {
		// get deletes an expired key and its entry.
		if _, err := t.get(string(key)); err != nil {
			return false, err
		}
		if t.expiries.Get(entries[i]) != nil { // its record does not exist any more
			t.drop(entries[i])
		}
	}
	t.resetTimer = true
	t.scheduled(next)
	return next != 0 && next <= t.now, nil
}

// due returns at most limit entries of the bucket of expiries that have expired, with
// their keys, and the time of the next entry, 0 if there is none.
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
