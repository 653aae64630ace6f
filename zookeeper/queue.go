package zookeeper

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// queueName is the beginning of names in a lock's queue: name, a mark of who
// waits, and the ten digits of the place in the queue.
const queueName = "lock-"

const sequenceDigits = 10

// place is a place in the queue for a lock.
type place struct {
	queue string // the znode whose children wait
	path  string
	czxid int64     // of path, 0 when it is not known
	asked time.Time // when the session was alive to create path
}

// leaveTimeout bounds how long a Lock that failed waits until its place in the
// queue is free.
const leaveTimeout = time.Second

// leave gives up a place in the queue by discard. That is in nobody's way when
// leave returns, or soon, when it takes too long.
func (s *store) leave(discard func()) {
	left := make(chan struct{})
	s.launch(func() {
		defer close(left)
		discard()
	})
	timer := time.NewTimer(leaveTimeout)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C:
	case <-s.lifetime.Done():
	}
}

// bounded returns a context for requests of a Lock.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return driver.WithTimeLimit(ctx, opTimeout)
}

// enqueue takes a place in the queue. Where another release of this library holds
// the lock, it waits for that until deadline.
func (s *store) enqueue(ctx context.Context, path string, value []byte, deadline time.Time) (place, error) {
	p := place{queue: child(path, own)}
	for {
		err := s.takePlace(ctx, &p, value)
		if err == nil {
			return p, nil
		}
		if errors.Is(err, zk.ErrNoNode) {
			err = s.makeQueue(ctx, path)
		}
		if errors.Is(err, zk.ErrNoChildrenForEphemerals) {
			err = s.awaitForeign(ctx, path, deadline)
		}
		if err != nil {
			return p, err
		}
	}
}

func (s *store) makeQueue(ctx context.Context, path string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.makeContainers(ctx, child(path, own), s.acl)
}

// takePlace creates a znode in the queue. When the reply is lost, a mark in its
// name tells whether it was created.
func (s *store) takePlace(ctx context.Context, p *place, value []byte) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	mark := queueName + rand.Text() + "-"
	created := s.main.readings.begin(child(p.queue, mark))
	defer created.end()
	again := retry.Backoff{Min: 5 * time.Millisecond, Max: 500 * time.Millisecond}
	for {
		var path string
		p.asked = time.Now()
		err := s.write(ctx, func(c *zk.Conn) (err error) {
			created.again()
			path, err = c.Create(child(p.queue, mark), value, zk.FlagEphemeralSequential, s.acl)
			return err
		})
		if err == nil {
			p.path, p.czxid = path, created.answered()
		}
		if !errors.Is(err, kvdb.ErrUnknownOutcome) {
			return err
		}
		name, findErr := s.findPlace(ctx, p.queue, mark)
		switch {
		case findErr != nil:
			s.leave(func() { s.discardMark(p.queue, mark) })
			return err
		case name != "":
			p.path = child(p.queue, name)
			return nil
		case again.Wait(ctx) != nil:
			return driver.NotReached(ctx, nil)
		}
	}
}

// findPlace returns the name of the znode with a mark, "" when it was not
// created. It is asked on a session that went to another connection since: what
// was sent before is done by now, or never will be.
func (s *store) findPlace(ctx context.Context, queue, mark string) (string, error) {
	var found string
	err := s.sync(ctx, func(c *zk.Conn) error {
		found = ""
		names, _, err := c.Children(queue)
		for _, name := range names {
			if strings.HasPrefix(name, mark) {
				found = name
			}
		}
		if errors.Is(err, zk.ErrNoNode) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return found, nil
}

// discardMark deletes the znode with a mark, if there is one.
func (s *store) discardMark(queue, mark string) {
	wait := retry.Backoff{Min: 10 * time.Millisecond, Max: 2 * time.Second}
	for {
		name, err := s.findPlace(s.lifetime, queue, mark)
		if err == nil && name != "" {
			s.discard(child(queue, name))
		}
		if err == nil || wait.Wait(s.lifetime) != nil {
			return
		}
	}
}

// waiting returns the names in a queue, first come first.
func waiting(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !strings.HasPrefix(name, queueName) || len(name) < len(queueName)+sequenceDigits
	})
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Compare(a[len(a)-sequenceDigits:], b[len(b)-sequenceDigits:])
	})
	return names
}

// awaitTurn waits until nobody is in front.
func (s *store) awaitTurn(ctx context.Context, p *place, deadline time.Time) error {
	front, err := s.inFront(ctx, p)
	if err != nil || len(front) == 0 {
		return err
	}
	if time.Until(deadline) <= 0 {
		return s.heldBy(ctx, front[0])
	}
	w, err := s.hub.subscribe(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	behind := retry.Backoff{Min: time.Millisecond, Max: 200 * time.Millisecond}
	for {
		gone := front[len(front)-1]
		err := w.awaitDeletion(ctx, gone, deadline)
		if err != nil && !errors.Is(err, errTooLate) {
			return err
		}
		if front, err = s.inFront(ctx, p); err != nil || len(front) == 0 {
			return err
		}
		if time.Until(deadline) <= 0 {
			return s.heldBy(ctx, front[0])
		}
		// The watches may have another server, which is ahead of this one.
		if front[len(front)-1] == gone && behind.Wait(ctx) != nil {
			return context.Cause(ctx)
		}
	}
}

// errTooLate: the deadline is over.
var errTooLate = errors.New("too late")

// inFront returns the paths of those who are in front of a place. Whoever was when the
// place was taken and still is, is among them: the session has seen its own
// place. It may show some who have left since. It completes the place.
func (s *store) inFront(ctx context.Context, p *place) ([]string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var names []string
	err := s.peek(ctx, func(c *zk.Conn) (err error) {
		if p.czxid == 0 {
			exists, stat, err := c.Exists(p.path)
			switch {
			case err != nil:
				return err
			case !exists:
				return zk.ErrNoNode
			}
			p.czxid = stat.Czxid
		}
		names, _, err = c.Children(p.queue)
		return err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil, errPlaceLost
	case err != nil:
		return nil, err
	}
	var front []string
	for _, name := range waiting(names) {
		path := child(p.queue, name)
		if path == p.path {
			return front, nil
		}
		front = append(front, path)
	}
	return nil, errPlaceLost
}

// errPlaceLost: the znode in the queue is gone, for the session is, or somebody
// deleted it.
var errPlaceLost = errors.Join(kvdb.ErrNoConnection, errors.New("the place in the queue for the lock is lost"))
