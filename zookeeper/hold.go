package zookeeper

import (
	"context"
	"crypto/sha256"
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
// is the first entry of a queue below it. A writer of a key at a lock's znode, or below it,
// asks the holder to move the lock to the queue, see makeRoom.

// proofs is the parent of the proofs. Each lock at a key has a proof: another ephemeral
// znode of the same session, which is created and deleted together with the lock. The
// version of a lock's znode does not distinguish it from that of a later lock, but a
// request that also checks or deletes the proof cannot concern a later lock. The proof ends
// with the session. If somebody removes the lock alone, by force, the next holder deletes
// the proof before it has the lock, see revokeOthers.
const proofs = "/" + own + "/held"

// proofsOf returns the parent of the proofs of a key's locks, which other keys share, and
// the prefix of their names.
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
	// moving reports whether a request to move to the queue has an unknown outcome.
	moving bool
	// madeKey reports whether the znode at the key was made when a lock moved to the queue.
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

// guards returns the operations that succeed while the lock is held.
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

// release removes a lock in one request, together with the queue and the containers that
// are empty then. It returns zk.ErrNoNode when the lock is not held. sent reports whether
// an earlier request may have released the lock: then release returns nil instead.
func (s *store) release(ctx context.Context, h hold, sent bool) error {
	h, found, err := s.locate(ctx, h)
	if err != nil || !found {
		return err
	}
	ops, needed, err := s.releasing(ctx, h)
	look, lacksProof := sent && h.queueEntry == "", false
	for err == nil {
		if look { // Somebody may have written the znode at the key, or replaced it.
			stat, _, err := s.look(ctx, h.path, false, true)
			switch {
			case err != nil:
				return err
			case !h.is(stat):
				return s.removeProof(ctx, h, sent)
			case lacksProof:
				// A later holder deletes the proof if it takes the key from now on, and its
				// znode is seen if it has taken the key before.
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
		case failed >= needed: // This container is not empty, or is gone.
			ops, look = ops[:failed], false
		default:
			look = true
		}
		err = nil
	}
	return err
}

// locate returns h as it is in the store: where a request of unknown outcome has moved the
// lock, and with its token. It reports whether the lock was created.
func (s *store) locate(ctx context.Context, h hold) (now hold, created bool, err error) {
	if h.moving {
		name, err := s.findQueueEntry(ctx, h.queue(), h.entryPrefix())
		if err != nil {
			return h, false, err
		}
		if name != "" {
			h.queueEntry, h.madeKey = child(h.queue(), name), true
		}
	}
	if h.queueEntry == "" && h.token == 0 {
		created, err := s.findProof(ctx, &h)
		return h, created, err
	}
	return h, true, nil
}

// findProof reports whether the lock has a proof, which shows that it was created, and
// sets the token of h.
func (s *store) findProof(ctx context.Context, h *hold) (found bool, err error) {
	stat, _, err := s.look(ctx, h.proof(), false, true)
	if err != nil || stat == nil {
		return false, err
	}
	h.token = stat.Czxid
	return true, nil
}

// makeProof creates the proof of a lock again after somebody has removed it.
func (s *store) makeProof(ctx context.Context, h hold) error {
	return s.ensure(ctx, h.proof(), zk.FlagEphemeral, zk.WorldACL(zk.PermAll), func() error {
		return s.makeShared(ctx, parent(h.proof()))
	})
}

// removeProof ends a release when the lock's znode is gone or was replaced.
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

// revokeOthers deletes the proofs of other locks of the key. Those locks were removed by
// force, because h could be created in their place. It returns errAttemptLost when h was
// removed in the same way.
func (s *store) revokeOthers(ctx context.Context, h hold) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	dir, begin := proofsOf(h.path)
	for {
		var names []string
		var stat *zk.Stat
		err := s.peek(ctx, func(c *zk.Conn) (err error) { // sees at least what this session has done
			names, stat, err = c.Children(dir)
			return err
		})
		switch {
		case err != nil && !errors.Is(err, zk.ErrNoNode):
			return err
		case err != nil, !slices.Contains(names, begin+h.mark):
			return errAttemptLost
		}
		// If two have taken the key, one after the other, the check lets only one of them
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
		case stat.Pzxid == h.token: // There was no other since h was created.
			return nil
		}
		// Until its proof was deleted, the holder of another lock may have released h.
		found, _, err := s.look(ctx, h.path, false, false)
		if err == nil && !h.is(found) {
			err = errAttemptLost
		}
		return err
	}
}

// releasing returns the operations that release a lock, and how many of them must succeed.
// The others remove containers that may be empty then, innermost first.
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
		// A znode without data whose version is not 0 held a value that was deleted under
		// the lock. The znode stays as long as the queue entry, so its version shows
		// whether it is written again.
		if stat == nil || stat.DataLength > 0 || stat.NumChildren > 1 || stat.Version == 0 && !h.madeKey {
			return ops, needed, nil
		}
		ops = append(ops, &zk.DeleteRequest{Path: h.path, Version: stat.Version})
	}
	// A container that has become a key has a version other than 0.
	for _, path := range slices.Backward(h.made) {
		ops = append(ops, &zk.DeleteRequest{Path: path, Version: 0})
	}
	return ops, needed, nil
}
