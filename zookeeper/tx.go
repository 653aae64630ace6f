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
	// The largest it can be: nothing is there that is written.
	size := 0
	for _, r := range reads {
		for _, op := range s.absent(pathOf(r.Key)) {
			size += sizeOf(op)
		}
		size += opOverhead + len(generationPath(0))
	}
	for _, w := range writes {
		if err := s.tooLarge(w.Key, w.Value); err != nil {
			return err
		}
		for _, op := range s.made(pathOf(w.Key), w.Value) {
			size += sizeOf(op)
		}
		size += opOverhead + len(keepPath(pathOf(w.Key)))
	}
	for _, l := range locks {
		h, _ := l.(*lease).current()
		for _, op := range h.guards() {
			size += sizeOf(op)
		}
	}
	if size > s.maxRequest {
		return fmt.Errorf("%w: the transaction has %d bytes as a request, the limit is %d, see option %s",
			kvdb.ErrTooLarge, size, s.maxRequest, kvdb.MaxRequestBytesKey)
	}
	return nil
}

// Commit implements driver.Transactor: it looks what is there, and sends one
// request with checks of that.
func (s *store) Commit(ctx context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	if err := s.CheckTx(reads, writes, locks); err != nil {
		return err
	}
	for {
		var ops []any
		var holds []hold
		for _, l := range locks {
			h, held := l.(*lease).current()
			if !held {
				return kvdb.ErrInvalidLock
			}
			holds = append(holds, h)
			ops = append(ops, h.guards()...)
		}
		guards := len(ops)
		checks, err := s.generationChecks(ctx, reads)
		if err != nil {
			return err
		}
		compared := len(checks)
		ops = append(ops, checks...)
		stats, err := s.stats(ctx, reads, writes)
		if err != nil {
			return err
		}
		for _, r := range reads {
			readOps, err := s.unchanged(r, stats[r.Key])
			if err != nil {
				return err
			}
			ops = append(ops, readOps...)
		}
		for _, w := range writes {
			if stat := stats[w.Key]; stat != nil && isEphemeral(stat) {
				if err := s.makeRoom(ctx, pathOf(w.Key)); err != nil {
					return err
				}
				stats[w.Key] = nil // the request fails if it is something else by now
			}
			ops = append(ops, s.written(w, stats[w.Key])...)
			if stat := stats[w.Key]; stat != nil && isKey(stat) {
				keeping, err := s.keeping(ctx, pathOf(w.Key), stat)
				if err != nil && !isMoved(err) { // else the request fails, too
					return err
				}
				ops = append(ops, keeping...)
			}
		}
		_, failed, err := s.multi(ctx, ops...)
		switch {
		case err == nil:
			return nil
		case failed < 0:
			return err
		case failed < guards && isMoved(err):
			if err := s.guardsMoved(ctx, locks, holds); err != nil {
				return err
			}
		case failed < guards+compared:
			for _, r := range reads {
				s.counts.forget(generation(pathOf(r.Key)))
			}
		case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrNoChildrenForEphemerals):
			for _, w := range writes {
				s.kept.remove(pathOf(w.Key))
			}
			if err := s.makeDirectories(ctx, reads, writes, stats, err); err != nil {
				return err
			}
		case errors.Is(err, zk.ErrNodeExists) && isKeep(ops[failed]):
			if err := s.removeKeep(ctx, parent(parent(ops[failed].(*zk.CreateRequest).Path))); err != nil {
				return err
			}
		case !isMoved(err):
			return err
		}
	}
}

// generationChecks are the checks of the generations of what was read.
func (s *store) generationChecks(ctx context.Context, reads []driver.Read) ([]any, error) {
	found := make([]*zk.CheckVersionRequest, len(reads))
	err := parallel(ctx, len(reads), func(i int) (err error) {
		found[i], err = s.checkGeneration(ctx, pathOf(reads[i].Key))
		return err
	})
	if err != nil {
		return nil, err
	}
	var checks []any
	seen := map[string]bool{}
	for _, check := range found {
		if !seen[check.Path] {
			seen[check.Path] = true
			checks = append(checks, check)
		}
	}
	return checks, nil
}

// stats are those of the znodes of all keys of a transaction, nil where there is
// none.
func (s *store) stats(ctx context.Context, reads []driver.Read, writes []driver.Write) (map[string]*zk.Stat, error) {
	var keys []string
	for _, r := range reads {
		keys = append(keys, r.Key)
	}
	for _, w := range writes {
		keys = append(keys, w.Key)
	}
	found := make([]*zk.Stat, len(keys))
	err := s.sync(ctx, func(c *zk.Conn) error {
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
		stats[key] = found[i]
	}
	return stats, nil
}

// unchanged returns the operations that succeed if a key is as it was read.
func (s *store) unchanged(r driver.Read, stat *zk.Stat) ([]any, error) {
	path := pathOf(r.Key)
	present := stat != nil && isKey(stat)
	switch {
	case present && uint64(stat.Mzxid) != r.Modified, !present && r.Modified != 0:
		return nil, kvdb.ErrModified
	case stat != nil:
		return []any{&zk.CheckVersionRequest{Path: path, Version: stat.Version}}, nil
	}
	return s.absent(path), nil
}

// absent are the operations that succeed if there is no znode at path.
func (s *store) absent(path string) []any {
	return []any{
		&zk.CreateRequest{Path: path, Data: []byte{}, Acl: s.acl, Flags: zk.FlagPersistent},
		&zk.DeleteRequest{Path: path, Version: 0},
	}
}

// written returns the operations of a write.
func (s *store) written(w driver.Write, stat *zk.Stat) []any {
	path := pathOf(w.Key)
	switch {
	case stat == nil:
		return s.made(path, w.Value)
	case stat.DataLength > 0:
		return []any{&zk.SetDataRequest{Path: path, Data: w.Value, Version: -1}}
	}
	return s.filled(path, w.Value, stat.Version)
}

// guardsMoved returns kvdb.ErrInvalidLock unless it may be that a guard failed because
// a lock was moved to its queue, or is about to be.
func (s *store) guardsMoved(ctx context.Context, locks []driver.Lease, holds []hold) error {
	moved := false
	for i, l := range locks {
		x := l.(*lease)
		err := x.moveToQueue(ctx)
		if errors.Is(err, zk.ErrNoNode) {
			return kvdb.ErrInvalidLock
		}
		if err != nil {
			return err
		}
		now, _ := x.current()
		moved = moved || now.znode() != holds[i].znode()
	}
	if !moved {
		return kvdb.ErrInvalidLock
	}
	return nil
}

// makeDirectories makes the directories that a transaction may lack, each once. It has
// failed because of err.
func (s *store) makeDirectories(ctx context.Context, reads []driver.Read, writes []driver.Write, stats map[string]*zk.Stat, err error) error {
	needed := map[string]struct{}{}
	for _, r := range reads {
		if stats[r.Key] == nil {
			needed[parent(pathOf(r.Key))] = struct{}{}
		}
	}
	for _, w := range writes {
		switch stat := stats[w.Key]; {
		case stat == nil:
			needed[parent(pathOf(w.Key))] = struct{}{}
		case stat.DataLength == 0:
			needed[child(pathOf(w.Key), own)] = struct{}{}
		}
	}
	paths := slices.Collect(maps.Keys(needed))
	return parallel(ctx, len(paths), func(i int) error { return s.makeDirectory(ctx, paths[i], err) })
}
