package zookeeper

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/call"
)

// A lock is held in one of two ways. Where there is no znode at the key, the lock is an
// ephemeral znode there, as that of an earlier release is. So the two exclude each
// other, and nothing is left when the lock is released or its session ends. But such a
// znode can have neither a key's value nor children. Where there is a znode, the lock
// is the first entry of a queue below it. Who wants to write a key at a lock's znode or
// below it asks the holder to move to the queue, see makeRoom.

// proofs is the znode with the proofs: each lock at a key has one, another ephemeral
// znode of the same session, created and deleted together with it. A lock's znode is
// not told from that of a later lock by its version, but by the proof: a request that
// also checks or deletes the proof concerns no later lock. For the proof is gone with
// the session; and when somebody removes the lock alone, by force, then the next holder
// deletes the proof before it has the lock, see revokeOthers.
const proofs = "/" + own + "/held"

// proofsOf returns the znode with the proofs of the locks of a key, which it shares with
// other keys, and the beginning of their names.
func proofsOf(path string) (dir, begin string) {
	hash := sha256.Sum256([]byte(path))
	return fmt.Sprintf("%s/%02x", proofs, hash[0]), fmt.Sprintf("%x-", hash[:16])
}

// heldVersion is the version of a lock's znode at a key. The lock of an earlier
// release has version 0.
const heldVersion = 1

// hold is how a lock is held.
type hold struct {
	path       string // of the key's znode
	mark       string // unique
	value      []byte
	token      int64 // the czxid of what was created first, 0 when it is not known
	since      sent
	queueEntry string // its path; "" while the lock is the znode at the key
	// made are the containers above path that were made for the lock, outermost first.
	made []string
	// moving: a request to move to the queue was sent, and its outcome is not known.
	moving bool
	// madeKey: the znode at the key was made when a lock moved to the queue.
	madeKey bool
}

// sent is when a request was sent, and the number of the session.
type sent struct {
	at      time.Time
	session int
}

func (l *leases) sending() *sent { return &sent{time.Now(), l.session()} }

func (h hold) proof() string {
	dir, begin := proofsOf(h.path)
	return child(dir, begin+h.mark)
}

func (h hold) queue() string { return child(h.path, own) }

// is reports whether the znode at the key, with that stat or nil, is the lock.
func (h hold) is(stat *zk.Stat) bool { return stat != nil && stat.Czxid == h.token }

// entryPrefix returns the beginning of the name of the lock's queue entry.
func (h hold) entryPrefix() string { return queueName + h.mark + "-" }

// znode returns the path of the znode that is the lock.
func (h hold) znode() string {
	if h.queueEntry != "" {
		return h.queueEntry
	}
	return h.path
}

// guards are the operations that succeed while the lock is held.
func (h hold) guards() []any {
	if h.queueEntry != "" {
		return []any{&zk.CheckVersionRequest{Path: h.queueEntry, Version: -1}}
	}
	return []any{
		&zk.CheckVersionRequest{Path: h.proof(), Version: -1},
		&zk.CheckVersionRequest{Path: h.path, Version: heldVersion},
	}
}

// ofEarlierRelease reports whether an ephemeral znode at a key is the lock of an
// earlier release.
func ofEarlierRelease(stat *zk.Stat) bool { return stat.Version < heldVersion }

// release removes what stands for a lock: in one request, with the queue and the
// containers that are empty then, when nothing is in the way. It returns zk.ErrNoNode
// when the lock is not held, and nil when it may be an earlier request that has
// released it: sent says that there was one.
func (s *store) release(ctx context.Context, h hold, sent bool) error {
	if h.moving {
		name, err := s.findQueueEntry(ctx, h.queue(), h.entryPrefix())
		if err != nil {
			return err
		}
		if name != "" {
			h.queueEntry, h.madeKey = child(h.queue(), name), true
		}
	}
	if h.queueEntry == "" && h.token == 0 {
		if created, err := s.findProof(ctx, &h); err != nil || !created {
			return err
		}
	}
	ops, needed, err := s.releasing(ctx, h)
	look, lacksProof := sent && h.queueEntry == "", false
	for err == nil {
		if look { // somebody may have written the znode at the key, or replaced it
			stat, _, err := s.look(ctx, h.path, false, true)
			switch {
			case err != nil:
				return err
			case !h.is(stat):
				return s.removeProof(ctx, h, sent)
			case lacksProof:
				// A later taker of the key, once the proof is there, deletes it, and one who has
				// taken it before is seen.
				if err := s.makeProof(ctx, h); err != nil {
					return err
				}
				lacksProof = false
				continue
			}
			ops[1] = &zk.DeleteRequest{Path: h.path, Version: stat.Version}
		}
		var failed int
		err = s.repeat(ctx, func(c *zk.Conn) error {
			results, err := c.Multi(ops...)
			if !errors.Is(err, zk.ErrConnectionClosed) {
				failed = slices.IndexFunc(results, func(r zk.MultiResponse) bool { return r.Error != nil })
			}
			sent = sent || fateOf(err) == call.Perhaps
			return err
		})
		switch {
		case err == nil:
			return nil
		case !isConflict(err):
			return err
		case failed == 0 && h.queueEntry == "":
			look, lacksProof = true, true
		case failed == 0 && sent:
			return nil
		case failed == 0:
			return zk.ErrNoNode
		case failed >= needed: // something else is in this one, or it is gone
			ops, look = ops[:failed], false
		default:
			look = true
		}
		err = nil
	}
	return err
}

// findProof reports whether a lock was created at the key, whose proof tells the token.
func (s *store) findProof(ctx context.Context, h *hold) (found bool, err error) {
	stat, _, err := s.look(ctx, h.proof(), false, true)
	if err != nil || stat == nil {
		return false, err
	}
	h.token = stat.Czxid
	return true, nil
}

// makeProof creates the proof of a lock again, which somebody has removed.
func (s *store) makeProof(ctx context.Context, h hold) error {
	return s.ensure(ctx, h.proof(), zk.FlagEphemeral, zk.WorldACL(zk.PermAll), func() error {
		return s.makeShared(ctx, parent(h.proof()))
	})
}

// removeProof is the end of release when the lock's znode is gone, or another one.
func (s *store) removeProof(ctx context.Context, h hold, sent bool) error {
	err := s.repeat(ctx, func(c *zk.Conn) error { return c.Delete(h.proof(), -1) })
	switch {
	case err != nil && !errors.Is(err, zk.ErrNoNode):
		return err
	case sent:
		return nil
	}
	return zk.ErrNoNode
}

// revokeOthers deletes the proofs of other locks of the key: theirs were removed by
// force, for a lock was created there. It returns errAttemptLost when that has met one of
// those.
func (s *store) revokeOthers(ctx context.Context, h hold) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	dir, begin := proofsOf(h.path)
	for {
		var names []string
		var stat *zk.Stat
		err := s.peek(ctx, func(c *zk.Conn) (err error) { // it sees at least what the session has done
			names, stat, err = c.Children(dir)
			return err
		})
		switch {
		case err != nil && !errors.Is(err, zk.ErrNoNode):
			return err
		case err != nil, !slices.Contains(names, begin+h.mark):
			return errAttemptLost
		}
		// Of two who have taken the key, one after the other, the check lets one
		// succeed.
		ops := []any{&zk.CheckVersionRequest{Path: h.proof(), Version: -1}}
		for _, name := range names {
			if strings.HasPrefix(name, begin) && name != begin+h.mark {
				ops = append(ops, &zk.DeleteRequest{Path: child(dir, name), Version: -1})
			}
		}
		switch {
		case len(ops) > 1:
			_, failed, err := s.multi(ctx, ops...)
			switch {
			case failed > 0 && isConflict(err), errors.Is(err, kvdb.ErrUnknownOutcome) && ctx.Err() == nil:
				continue
			case isConflict(err):
				return errAttemptLost
			case err != nil:
				return err
			}
		case stat.Pzxid == h.token: // nor was there any
			return nil
		}
		// Until its proof was gone, another one's holder may have released the lock.
		found, _, err := s.look(ctx, h.path, false, false)
		if err == nil && !h.is(found) {
			err = errAttemptLost
		}
		return err
	}
}

// releasing returns the operations that release a lock, and how many of them are
// needed: the others remove what may be empty then, innermost first.
func (s *store) releasing(ctx context.Context, h hold) (ops []any, needed int, err error) {
	if h.queueEntry == "" {
		ops = []any{&zk.DeleteRequest{Path: h.proof(), Version: -1}, &zk.DeleteRequest{Path: h.path, Version: heldVersion}}
		needed = len(ops)
	} else {
		ops = []any{&zk.DeleteRequest{Path: h.queueEntry, Version: -1}, &zk.DeleteRequest{Path: h.queue(), Version: -1}}
		needed = 1
		stat, _, err := s.look(ctx, h.path, false, false)
		if err != nil {
			return nil, 0, err
		}
		// What was written to it had its time: only its deletion under the lock can have
		// left it without data. It stays as long as the queue entry, so the version tells
		// whether it is written again.
		if stat == nil || stat.DataLength > 0 || stat.NumChildren > 1 || stat.Version == 0 && !h.madeKey {
			return ops, needed, nil
		}
		ops = append(ops, &zk.DeleteRequest{Path: h.path, Version: stat.Version})
	}
	// A container that has become a key has another version.
	for _, path := range slices.Backward(h.made) {
		ops = append(ops, &zk.DeleteRequest{Path: path, Version: 0})
	}
	return ops, needed, nil
}

// lockNode is the lock's znode at a key.
type lockNode struct {
	path string
	stat *zk.Stat
	data []byte
}

// lockAbove returns the lock at path, or above it; nil when there is none any more.
func (s *store) lockAbove(ctx context.Context, path string) (*lockNode, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for ; path != "/"; path = parent(path) {
		stat, data, err := s.look(ctx, path, true, true)
		switch {
		case err != nil:
			return nil, err
		case stat != nil && isEphemeral(stat):
			return &lockNode{path, stat, data}, nil
		case stat != nil:
			return nil, nil // nor is there one above: it would have no children
		}
	}
	return nil, nil
}

// roomTimeout bounds how long a holder may take to move its lock.
const roomTimeout = 5 * time.Second

// makeRoom has the lock at path, or above it, moved to its queue.
func (s *store) makeRoom(ctx context.Context, path string) error {
	lock, err := s.lockAbove(ctx, path)
	if err != nil || lock == nil {
		return err
	}
	if ofEarlierRelease(lock.stat) {
		return errForeignLock(lock.path)
	}
	return s.moveAway(ctx, lock)
}

// moveAway has a lock moved to the queue. It returns when it was, or was released.
func (s *store) moveAway(ctx context.Context, lock *lockNode) error {
	if err := s.askForRoom(ctx, lock); err != nil {
		return err
	}
	err := s.awaitNoLock(ctx, lock.path, time.Now().Add(roomTimeout))
	if errors.Is(err, errTooLate) {
		return fmt.Errorf("%w: %s is a lock, and its holder has not made room for a key within %v", kvdb.ErrInvalidLock, lock.path, roomTimeout)
	}
	return err
}

// askForRoom asks the holder of a lock, unless that was done, to move it to the queue.
// Any change of the znode's value does that.
func (s *store) askForRoom(ctx context.Context, lock *lockNode) error {
	info, ok := parseLock(lock.data)
	if !ok || info.Mark == "" || info.Room {
		return nil
	}
	info.Room = true
	value, err := json.Marshal(info)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = s.repeat(ctx, func(c *zk.Conn) error {
		_, err := c.Multi(
			&zk.CheckVersionRequest{Path: hold{path: lock.path, mark: info.Mark}.proof(), Version: -1},
			&zk.SetDataRequest{Path: lock.path, Data: value, Version: lock.stat.Version})
		return err
	})
	if isConflict(err) {
		return nil // it is not as it was any more
	}
	return err
}
