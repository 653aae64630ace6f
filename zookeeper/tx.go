package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// CheckTx implements driver.TxChecker.
func (s *store) CheckTx(reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	// The request is the largest if no znode that is written exists.
	size := 0
	for _, r := range reads {
		size += sizeOf(s.absentOps(pathOf(r.Key))...) + opOverhead + len(generationPath(0))
	}
	for _, w := range writes {
		if w.Delete {
			size += s.maxDeletion(pathOf(w.Key))
			continue
		}
		if err := s.checkValue(w.Key, w.Value); err != nil {
			return err
		}
		size += sizeOf(s.createOps(pathOf(w.Key), w.Value)...) + opOverhead + len(sentinelPath(pathOf(w.Key)))
	}
	for _, l := range locks {
		h, _ := l.(*lease).current()
		size += sizeOf(h.guards()...)
	}
	if size > s.maxRequest {
		return fmt.Errorf("%w: the transaction has %d bytes as a request, the limit is %d, see option %s",
			kvdb.ErrTooLarge, size, s.maxRequest, kvdb.MaxRequestBytesKey)
	}
	return nil
}

// Commit implements driver.Transactor. It reads what is there, and sends one request that
// writes only if that has not changed. When something has changed it begins anew. A large
// transaction that likely creates all its keys is sent without reading first.
func (s *store) Commit(ctx context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	if err := s.CheckTx(reads, writes, locks); err != nil {
		return err
	}
	large := isLarge(reads, writes)
	for exists := false; ; {
		t := &transaction{s: s, reads: reads, writes: writes, locks: locks, creates: large && !exists && s.creates.Load()}
		if err := t.prepare(ctx); err != nil {
			return err
		}
		_, failed, err := s.multi(ctx, t.ops...)
		if err == nil {
			t.forgetSentinels()
			if large {
				s.creates.Store(len(t.stats) == 0)
			}
			return nil
		}
		if failed < 0 {
			return err
		}
		exists = exists || t.creates && errors.Is(err, zk.ErrNodeExists)
		if err := t.resolve(ctx, failed, err); err != nil {
			return err
		}
	}
}

// isLarge reports whether a transaction only writes, and so many keys that to read them first
// takes more than a request that fails.
func isLarge(reads []driver.Read, writes []driver.Write) bool {
	const least = 16
	return len(writes) >= least && len(reads) == 0 && !slices.ContainsFunc(writes, func(w driver.Write) bool { return w.Delete })
}

// transaction is one attempt of a Commit.
type transaction struct {
	s      *store
	reads  []driver.Read
	writes []driver.Write
	locks  []driver.Lease

	creates bool                // no znode is read, because there is likely none
	holds   []hold              // how the locks are held
	stats   map[string]*zk.Stat // of the znodes of the keys that exist
	// ops begins with the guards of the locks, then come the checks of the generations.
	ops            []any
	guards, checks int
}

// prepare makes the request.
func (t *transaction) prepare(ctx context.Context) (err error) {
	for _, l := range t.locks {
		h, held := l.(*lease).current()
		if !held {
			return kvdb.ErrInvalidLock
		}
		t.holds = append(t.holds, h)
		t.ops = append(t.ops, h.guards()...)
	}
	t.guards = len(t.ops)
	// The generations come before the stats, see generation.go.
	checks, err := t.generationChecks(ctx)
	if err != nil {
		return err
	}
	t.checks = len(checks)
	t.ops = append(t.ops, checks...)
	if !t.creates {
		if t.stats, err = t.readStats(ctx); err != nil {
			return err
		}
	}
	for _, r := range t.reads {
		ops, err := t.s.unchangedOps(r, t.stats[r.Key])
		if err != nil {
			return err
		}
		t.ops = append(t.ops, ops...)
	}
	return t.prepareWrites(ctx)
}

// prepareWrites adds the writes to the request.
func (t *transaction) prepareWrites(ctx context.Context) error {
	var deletions []driver.Write
	for _, w := range t.writes {
		if stat := t.stats[w.Key]; w.Delete && (stat == nil || !isKey(stat)) {
			t.ops = append(t.ops, t.s.unchanged(pathOf(w.Key), stat)...)
		} else if w.Delete {
			deletions = append(deletions, w)
		}
	}
	// Keys may be created below one that is deleted, which then stays as a directory.
	for _, w := range t.writes {
		if !w.Delete {
			if err := t.prepareWrite(ctx, w); err != nil {
				return err
			}
		}
	}
	for _, w := range deletions {
		if err := t.prepareDeletion(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// prepareWrite adds a write to the request. A lock at the key is moved away first.
func (t *transaction) prepareWrite(ctx context.Context, w driver.Write) error {
	path := pathOf(w.Key)
	if stat := t.stats[w.Key]; stat != nil && isEphemeral(stat) {
		if err := t.s.makeRoom(ctx, path); err != nil {
			return err
		}
		t.stats[w.Key] = nil // the request fails if another znode is there by now
	}
	stat := t.stats[w.Key]
	t.ops = append(t.ops, t.s.writeOps(w, stat)...)
	if stat == nil || !isKey(stat) {
		return nil
	}
	checks, err := t.s.sentinelChecks(ctx, path, stat)
	if err != nil && !isConflict(err) { // if the znode is gone, the request fails, too
		return err
	}
	t.ops = append(t.ops, checks...)
	return nil
}

// resolve prepares another attempt after the operation with the number failed has failed
// with err. It returns an error when another attempt is of no use.
func (t *transaction) resolve(ctx context.Context, failed int, err error) error {
	belowLock := errors.Is(err, zk.ErrNoChildrenForEphemerals)
	switch {
	case !isConflict(err) && !belowLock:
		return err
	case failed < t.guards:
		return t.guardsMoved(ctx)
	case failed < t.guards+t.checks:
		for _, r := range t.reads {
			t.s.generations.remove(generation(pathOf(r.Key)))
		}
	case errors.Is(err, zk.ErrNoNode), belowLock:
		if _, counts := countedBy(t.ops[failed]); counts {
			return t.s.createGenerations(ctx, t.ops)
		}
		for _, w := range t.writes {
			t.s.sentinels.remove(pathOf(w.Key))
		}
		return t.makeDirectories(ctx, err)
	case errors.Is(err, zk.ErrNodeExists) && isSentinel(t.ops[failed]):
		return t.s.removeSentinel(ctx, parent(parent(t.ops[failed].(*zk.CreateRequest).Path)))
	}
	return nil
}

// generationChecks returns the checks of the generations of what was read.
func (t *transaction) generationChecks(ctx context.Context) ([]any, error) {
	byGeneration := map[int]string{} // a path for each
	for _, r := range t.reads {
		byGeneration[generation(pathOf(r.Key))] = pathOf(r.Key)
	}
	paths := slices.Collect(maps.Values(byGeneration))
	checks := make([]any, len(paths))
	err := parallel(ctx, len(paths), func(i int) (err error) {
		checks[i], err = t.s.checkGeneration(ctx, paths[i])
		return err
	})
	return checks, err
}

// readStats returns the stats of the znodes of the keys that exist.
func (t *transaction) readStats(ctx context.Context) (map[string]*zk.Stat, error) {
	var keys []string
	for _, r := range t.reads {
		keys = append(keys, r.Key)
	}
	for _, w := range t.writes {
		keys = append(keys, w.Key)
	}
	found := make([]*zk.Stat, len(keys))
	err := t.s.sync(ctx, func(c *zk.Conn) error {
		return parallel(ctx, len(keys), func(i int) error {
			exists, stat, err := c.Exists(pathOf(keys[i]))
			if found[i] = stat; !exists {
				found[i] = nil
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	stats := map[string]*zk.Stat{}
	for i, key := range keys {
		if found[i] != nil {
			stats[key] = found[i]
		}
	}
	return stats, nil
}

// unchangedOps returns the operations that succeed if a key is as it was read.
func (s *store) unchangedOps(r driver.Read, stat *zk.Stat) ([]any, error) {
	path := pathOf(r.Key)
	present := stat != nil && isKey(stat)
	switch {
	case present && uint64(stat.Mzxid) != r.Modified, !present && r.Modified != 0:
		return nil, kvdb.ErrModified
	}
	return s.unchanged(path, stat), nil
}

// unchanged returns the operations that succeed if the znode at path still has that stat, nil for
// none.
func (s *store) unchanged(path string, stat *zk.Stat) []any {
	if stat == nil {
		return s.absentOps(path)
	}
	return []any{&zk.CheckVersionRequest{Path: path, Version: stat.Version}}
}

// guardsMoved returns nil when a guard may have failed because a lock was moved to its
// queue, or is about to be, and kvdb.ErrInvalidLock when that is not the reason.
func (t *transaction) guardsMoved(ctx context.Context) error {
	moved := false
	for i, l := range t.locks {
		x := l.(*lease)
		err := x.moveToQueue(ctx)
		if errors.Is(err, zk.ErrNoNode) {
			return kvdb.ErrInvalidLock
		}
		if err != nil {
			return err
		}
		now, _ := x.current()
		moved = moved || now.znode() != t.holds[i].znode()
	}
	if !moved {
		return kvdb.ErrInvalidLock
	}
	return nil
}

// makeDirectories makes the directories that the transaction may lack, each once. It has
// failed with err.
func (t *transaction) makeDirectories(ctx context.Context, err error) error {
	needed := map[string]struct{}{}
	for _, r := range t.reads {
		if t.stats[r.Key] == nil {
			needed[parent(pathOf(r.Key))] = struct{}{}
		}
	}
	for _, w := range t.writes {
		switch stat := t.stats[w.Key]; {
		case stat == nil:
			needed[parent(pathOf(w.Key))] = struct{}{}
		case stat.DataLength == 0 && !w.Delete:
			needed[child(pathOf(w.Key), own)] = struct{}{}
		}
	}
	paths := slices.Collect(maps.Keys(needed))
	return parallel(ctx, len(paths), func(i int) error { return t.s.makeDirectory(ctx, paths[i], err) })
}
