package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// queueName begins the name of each entry in a lock's queue. The mark of the entry and ten
// digits, by which the queue is sorted, follow.
const queueName = "lock-"

const sequenceDigits = 10

// strayTimeout bounds how long a Lock that has failed waits for the removal of what it may have
// created.
const strayTimeout = time.Second

// releaseStray removes what a Lock that has failed may have created. It waits for strayTimeout at
// most. After that the removal goes on in the background.
func (s *store) releaseStray(h hold) {
	left := s.leases.discard(h)
	ctx, cancel := context.WithTimeout(s.life.Context(), strayTimeout)
	defer cancel()
	select {
	case <-left:
	case <-ctx.Done():
	}
}

// errNoQueue means that there is no znode at the key any more, or that it is a lock.
var errNoQueue = errors.New("there can be no queue")

// lockInQueue adds an entry to the queue below the key's znode, and waits until it is the first.
func (s *store) lockInQueue(ctx context.Context, h *hold, deadline time.Time) error {
	if err := s.createQueueEntry(ctx, h); err != nil {
		return err
	}
	err := s.awaitFirst(ctx, h, deadline)
	if err != nil {
		s.releaseStray(*h)
	}
	return err
}

// createQueueEntry creates an entry in the queue. When the reply is lost, the mark in the entry's name
// shows whether it was created.
func (s *store) createQueueEntry(ctx context.Context, h *hold) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	begin := child(h.queue(), h.entryPrefix())
	created := s.main.TrackZxid(begin)
	defer created.Stop()
	again := retry.Backoff{Min: 5 * time.Millisecond, Max: 500 * time.Millisecond}
	var last atomic.Pointer[sent] // a request that is abandoned may still be sent
	for {
		var path string
		err := s.write(ctx, func(c *zk.Conn) (err error) {
			last.Store(s.leases.sending())
			created.Reset()
			path, err = c.Create(begin, h.value, zk.FlagEphemeralSequential, s.acl)
			return err
		})
		switch {
		case err == nil:
			h.queueEntry, h.token, h.since = path, created.Zxid(), *last.Load()
			return nil
		case errors.Is(err, zk.ErrNoNode):
			err = s.makeContainer(ctx, h.queue(), s.acl)
			switch {
			case errors.Is(err, zk.ErrNodeExists):
				err = nil
			case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrNoChildrenForEphemerals):
				err = errNoQueue
			}
			if err != nil {
				return err
			}
			continue
		case !errors.Is(err, kvdb.ErrUnknownOutcome):
			return err
		}
		name, findErr := s.findQueueEntry(ctx, h.queue(), h.entryPrefix())
		switch {
		case findErr != nil:
			left := *h
			left.moving = true // it is not known whether there is an entry
			s.releaseStray(left)
			return err
		case name != "":
			h.queueEntry, h.token, h.since = child(h.queue(), name), 0, *last.Load()
			return nil
		case again.Wait(ctx) != nil:
			return driver.NotReached(ctx, nil)
		}
	}
}

// findQueueEntry returns the name of the entry with a mark, "" if there is none. The session has a
// new connection since the request to create the entry, so that request has run by now, or never
// will.
func (s *store) findQueueEntry(ctx context.Context, queue, mark string) (string, error) {
	names, err := s.children(ctx, queue, true)
	for _, name := range names {
		if strings.HasPrefix(name, mark) {
			return name, nil
		}
	}
	return "", err
}

// sortedEntries returns the names of the entries in a queue, the first one first.
func sortedEntries(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !strings.HasPrefix(name, queueName) || len(name) < len(queueName)+sequenceDigits
	})
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Compare(a[len(a)-sequenceDigits:], b[len(b)-sequenceDigits:])
	})
	return names
}

// awaitFirst waits until there is no entry in front.
func (s *store) awaitFirst(ctx context.Context, h *hold, deadline time.Time) error {
	front, err := s.entriesInFront(ctx, h)
	if err != nil || len(front) == 0 {
		return err
	}
	if time.Until(deadline) <= 0 {
		return s.heldBy(ctx, h, front)
	}
	w, err := s.hub.subscribe(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	behind := retry.Backoff{Min: time.Millisecond, Max: 200 * time.Millisecond}
	for {
		gone := front[len(front)-1]
		err := w.awaitDeletion(ctx, gone, deadline, nil)
		if err != nil && !errors.Is(err, errTooLate) {
			return err
		}
		if front, err = s.entriesInFront(ctx, h); err != nil || len(front) == 0 {
			return err
		}
		if time.Until(deadline) <= 0 {
			return s.heldBy(ctx, h, front)
		}
		// The watches may be at another server, which is ahead of this one.
		if front[len(front)-1] == gone && behind.Wait(ctx) != nil {
			return driver.WithCause(ctx, nil)
		}
	}
}

// heldBy returns the error that names the owner of the first entry in front, nil if there is none
// any more.
func (s *store) heldBy(ctx context.Context, h *hold, front []string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for {
		owner, found, err := s.ownerOf(ctx, front[0])
		switch {
		case err != nil:
			return err
		case found:
			return &driver.HeldError{Owner: owner}
		}
		if front, err = s.entriesInFront(ctx, h); err != nil || len(front) == 0 {
			return err
		}
	}
}

// entriesInFront returns the paths of the entries in front of that of h. It may include entries
// that are gone by now, but it lacks none, because the session has seen its own entry. It sets
// the token and madeKey of h.
func (s *store) entriesInFront(ctx context.Context, h *hold) ([]string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var names []string
	token, madeKey := h.token, false
	err := s.peek(ctx, func(c *zk.Conn) error {
		if token == 0 {
			exists, stat, err := c.Exists(h.queueEntry)
			switch {
			case err != nil:
				return err
			case !exists:
				return zk.ErrNoNode
			}
			token = stat.Czxid
		}
		found, stat, err := c.Children(h.queue())
		if err == nil {
			names, madeKey = found, stat.DataLength > 0
		}
		return err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil, errAttemptLost
	case err != nil:
		return nil, err // the request may still write token and madeKey
	}
	h.token, h.madeKey = token, madeKey
	var front []string
	for _, name := range sortedEntries(names) {
		path := child(h.queue(), name)
		if path == h.queueEntry {
			return front, nil
		}
		front = append(front, path)
	}
	return nil, errAttemptLost
}

// errAttemptLost means that what was created to obtain a lock is gone, because the session has
// ended or somebody has deleted it.
var errAttemptLost = errors.Join(kvdb.ErrNoConnection, errors.New("what was created to obtain the lock is lost"))
