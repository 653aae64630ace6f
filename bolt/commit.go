package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// A file grows by a quarter, within these bounds in bytes. Small steps cost more syncs;
// large ones make the file, and copies of it, larger than needed.
const (
	minGrowth = 64 << 10
	maxGrowth = 16 << 20
)

// write is one write of one caller.
type write struct {
	// apply makes the write in t, or returns an error and changes nothing.
	apply func(t *txn) error
	// last means that the write comes after all others of its batch.
	last bool
	// committed is called when the write is in the file, and no later one is.
	committed func()
	err       error
}

// batch is a group of writes that are committed together. The first writer leads: it
// waits for the running commit, while others join, and then commits for all.
type batch struct {
	writes []*write
	done   chan struct{} // closed when each write's err is set
}

// update makes the write w. It returns when w is on disk, or certainly is not.
func (db *database) update(ctx context.Context, w *write) error {
	if ctx.Err() != nil {
		return driver.WithCause(ctx, nil)
	}
	db.mu.Lock()
	b := db.next
	leads := b == nil
	if leads {
		b = &batch{done: make(chan struct{})}
		db.next = b
	}
	b.writes = append(b.writes, w)
	db.mu.Unlock()

	if leads && !db.lead(ctx, b) {
		go db.lead(context.Background(), b) // for the writers that have joined
	}
	select {
	case <-b.done:
		return w.err
	case <-ctx.Done():
	}
	if db.withdraw(b, w) {
		return driver.WithCause(ctx, nil)
	}
	<-b.done
	return w.err
}

// lead waits for the write lock and commits b. It returns false if ctx ends first.
func (db *database) lead(ctx context.Context, b *batch) bool {
	select {
	case <-db.writeLock:
		defer func() { db.writeLock <- struct{}{} }()
		db.gather(b)
		db.finish(b, db.commit)
	case <-db.lifetime.Done():
		db.finish(b, func([]*write) error { return kvdb.ErrClosed })
	case <-ctx.Done():
		return false
	}
	return true
}

// gather gives the writers that the last commit woke the time to join b, because a
// commit costs the same for one write as for many.
func (db *database) gather(b *batch) {
	for before, n := 0, 1; before != n; {
		runtime.Gosched()
		db.mu.Lock()
		before, n = n, len(b.writes)
		db.mu.Unlock()
	}
}

// withdraw takes w out of b, unless the commit of b has begun.
func (db *database) withdraw(b *batch, w *write) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.next != b {
		return false
	}
	for i := range b.writes {
		if b.writes[i] == w {
			b.writes = append(b.writes[:i], b.writes[i+1:]...)
			break
		}
	}
	return true
}

// finish commits b and wakes its writers. All of them get an error of commit.
func (db *database) finish(b *batch, commit func([]*write) error) {
	db.mu.Lock()
	if db.next == b {
		db.next = nil
	}
	db.mu.Unlock()
	if err := commit(b.writes); err != nil {
		for _, w := range b.writes {
			w.err = err
		}
	}
	close(b.done)
}

// commit makes the writes in one transaction, and hands their events to the watches. The
// caller holds the write lock. After an error none of the writes is in the file.
func (db *database) commit(writes []*write) error {
	if len(writes) == 0 {
		return nil
	}
	if err := db.usable(); err != nil {
		return err
	}
	t := &txn{path: db.path, now: time.Now().UnixNano()}
	err := db.transact(t, writes)
	if err != nil && !errors.Is(err, kvdb.ErrUnknownOutcome) {
		return err
	}
	for _, e := range t.events {
		db.log.Append(e)
	}
	if t.resetTimer {
		db.nextExpiry = 0
	}
	db.setTimer(t.earliest)
	for _, w := range writes {
		if w.err == nil {
			w.err = err
		}
		if w.committed != nil && w.err == nil {
			w.committed()
		}
	}
	return nil
}

// usable returns an error if the file must not be written to.
func (db *database) usable() error {
	if db.broken != nil {
		return db.broken
	}
	if err := db.inPlace(); err != nil {
		return fmt.Errorf("write to %s: %w", db.path, err)
	}
	if db.repair != nil {
		if err := db.repair(); err != nil {
			return fmt.Errorf("write to %s: an earlier write is not on disk yet: %w", db.path, err)
		}
		db.repair = nil
	}
	return nil
}

// transact makes the writes in one transaction of bbolt.
func (db *database) transact(t *txn, writes []*write) error {
	file := db.file.Load()
	tx, err := db.begin(file, true)
	if err != nil {
		return fmt.Errorf("write to %s: %w", db.path, err)
	}
	file.AllocSize = int(min(max(tx.Size()/4, minGrowth), maxGrowth))
	sent := false
	err = guard(db.path, func() error {
		err := t.run(tx, writes)
		if sent = err == nil && t.changed; sent {
			err = db.commitTx(tx)
		}
		_ = tx.Rollback() // fails when tx is over
		return err
	})
	if isFault(err) {
		db.broken = err
	}
	switch {
	case err == nil:
		return nil
	case sent:
		return db.resolve(t, err)
	}
	return fmt.Errorf("write to %s: %w", db.path, err)
}

// resolve finds out whether a commit that failed with err is on disk, and returns nil if
// it is.
func (db *database) resolve(t *txn, err error) error {
	id := -1
	viewErr := db.view(func(tx *bbolt.Tx) error {
		id = tx.ID()
		return nil
	})
	if viewErr == nil && id < t.id {
		return fmt.Errorf("write to %s: %w", db.path, err)
	}
	// The meta page is written, but not synced.
	db.repair = db.file.Load().rewriteMeta
	if viewErr == nil && db.usable() == nil {
		return nil
	}
	return fmt.Errorf("%w: write to %s: %w", kvdb.ErrUnknownOutcome, db.path, err)
}

// rewriteMeta writes the meta pages again, unchanged, and syncs them. Without the write
// a sync may do nothing, because after a failed sync the system may regard the pages as
// clean.
func (f *boltFile) rewriteMeta() error {
	meta := make([]byte, 2*f.Info().PageSize)
	if _, err := f.raw.ReadAt(meta, 0); err != nil {
		return err
	}
	if _, err := f.raw.WriteAt(meta, 0); err != nil {
		return err
	}
	return f.raw.Sync()
}
