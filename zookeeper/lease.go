package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// keepAliveEvery is how often the session shows that it is alive, or more often
// if its timeout is short. It is less than the 5 s after which conn takes a silent server for dead: a connection that works is
// never silent for so long.
const keepAliveEvery = 2 * time.Second

// keepAliveAgain is the pause after one that was not answered. On a new connection the next
// one is sent at once, for the connection may not last.
const keepAliveAgain = 50 * time.Millisecond

// leases are the locks that the session holds, and what is known of its life.
//
// The leader ends a session when it has not heard of it for its timeout. A server
// tells it twice a tick which sessions were active. A server that has lost the leader
// goes on answering reads for a while, so these say nothing; but a sync and a write
// are answered when the leader has had them, and before that it has heard of the one
// before, or will within half a tick. So until three quarters of the timeout after one
// of those was sent that was answered, the session is alive: the last quarter is more
// than the pause between two of them and half a tick, if a tick is less than a sixth
// of the timeout, as it usually is (2 s of 20 s).
type leases struct {
	s *store

	mu   sync.Mutex // protects what is below
	held map[*lease]struct{}
	over int // number of sessions that have ended
	// leaving are the locks, by their marks, that are to be released as soon as that is
	// possible. settled is closed and replaced when there is one less of them.
	leaving map[string]hold
	settled chan struct{}
	sent    time.Time   // of the last sync or write that was answered
	until   *time.Timer // runs loseAll when the session may be over
}

func (l *leases) start(s *store) {
	l.s = s
	l.held, l.leaving, l.settled = map[*lease]struct{}{}, map[string]hold{}, make(chan struct{})
	l.until = time.AfterFunc(sessionTimeout, l.loseAll)
	l.until.Stop()
}

// onEvent receives the client's events.
func (l *leases) onEvent(e zk.Event) {
	if e.Type == zk.EventSession && e.State == zk.StateExpired {
		l.endSession(l.session())
	}
}

// endSession loses all leases, unless that session is over already.
func (l *leases) endSession(session int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over == session {
		l.over++
		l.loseAllLocked()
	}
}

// session returns the number of the session.
func (l *leases) session() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// keepAlive sends syncs, and notes when those that were answered were sent.
func (l *leases) keepAlive() {
	defer l.until.Stop()
	for {
		pauses := keepAliveAgain
		ctx, cancel := driver.WithTimeLimit(l.s.life.Context(), driver.CallTimeout)
		if l.s.main.Ready(ctx) == nil {
			sent := time.Now()
			err := l.s.main.Run(ctx, func(c *zk.Conn) error { _, err := c.Sync("/"); return err })
			if err == nil {
				l.alive(sent)
				pauses = min(keepAliveEvery, l.s.main.Timeout()/6)
			}
		}
		cancel()
		pause := time.NewTimer(pauses)
		select {
		case <-pause.C:
		case <-l.s.life.Context().Done():
			pause.Stop()
			return
		}
	}
}

// alive notes that the session was alive at that time.
func (l *leases) alive(sent time.Time) {
	timeout := l.s.main.Timeout()
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent.After(l.sent) {
		l.sent = sent
	}
	l.until.Reset(time.Until(l.sent.Add(timeout * 3 / 4)))
}

// add returns the lease of a lock that was obtained, nil when its session is over.
func (l *leases) add(h hold) *lease {
	ctx, cancel := context.WithCancel(l.s.life.Context())
	x := &lease{s: l.s, token: uint64(h.token), lost: make(chan struct{}), endWatch: cancel, hold: h}
	l.mu.Lock()
	if l.over != h.since.session {
		l.mu.Unlock()
		cancel()
		return nil
	}
	l.held[x] = struct{}{}
	l.mu.Unlock()
	l.alive(h.since.at)
	l.s.life.Go(func() { x.watch(ctx) })
	return x
}

// loseAll loses all leases: the session is over, or may be.
func (l *leases) loseAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loseAllLocked()
}

func (l *leases) loseAllLocked() {
	for x := range l.held {
		l.loseLocked(x)
	}
}

// lose loses a lease if it is still held.
func (l *leases) lose(x *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loseLocked(x)
}

func (l *leases) loseLocked(x *lease) {
	if _, held := l.held[x]; !held {
		return
	}
	delete(l.held, x)
	close(x.lost)
	x.endWatch()
	// The session may live on, and with it the lock's znode.
	l.discardLocked(x.hold)
}

// lease implements driver.Lease.
type lease struct {
	s        *store
	token    uint64
	lost     chan struct{}
	endWatch context.CancelFunc

	hold hold // protected by leases.mu

	mu        sync.Mutex // one Release or move at a time; protects what is below
	releasing bool       // it will be released
	released  bool       // it is
}

// Token implements driver.Lease.
func (x *lease) Token() uint64 { return x.token }

// Lost implements driver.Lease.
func (x *lease) Lost() <-chan struct{} { return x.lost }

// current returns how the lock is held, and false when it is not held any more.
func (x *lease) current() (hold, bool) {
	x.s.leases.mu.Lock()
	defer x.s.leases.mu.Unlock()
	_, held := x.s.leases.held[x]
	return x.hold, held
}

// Release implements driver.Lease.
func (x *lease) Release(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.released {
		return nil
	}
	again := x.releasing
	if !again {
		x.s.leases.mu.Lock()
		_, held := x.s.leases.held[x]
		delete(x.s.leases.held, x)
		x.s.leases.mu.Unlock()
		if !held {
			return kvdb.ErrInvalidLock
		}
		x.endWatch()
		x.releasing = true
	}
	h, _ := x.current()
	err := x.s.release(ctx, h, again)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return kvdb.ErrInvalidLock
	case err == nil:
		x.released = true
	case !again:
		x.s.leases.discard(h)
	}
	return err
}

// discard releases a lock as soon as that is possible. The channel that it returns is
// closed then.
func (l *leases) discard(h hold) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.discardLocked(h)
}

func (l *leases) discardLocked(h hold) <-chan struct{} {
	l.leaving[h.mark] = h
	done := make(chan struct{})
	l.s.life.Go(func() {
		defer close(done)
		wait := retry.Backoff{Min: 10 * time.Millisecond, Max: 2 * time.Second}
		for {
			err := l.s.release(l.s.life.Context(), h, true)
			switch {
			case err == nil, errors.Is(err, zk.ErrNoNode):
				l.left(h)
				return
			case wait.Wait(l.s.life.Context()) != nil:
				return
			}
		}
	})
	return done
}

// left notes that a lock was released.
func (l *leases) left(h hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.leaving, h.mark)
	close(l.settled)
	l.settled = make(chan struct{})
}

// close loses all leases and waits until the locks are released, or their session is
// over because the server has not heard of it for so long. When ctx is about to end
// before that, it returns an error that names them. No call of Lock runs any more.
func (l *leases) close(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-endTimeout))
		defer cancel()
	}
	l.mu.Lock()
	l.loseAllLocked()
	// It may have heard of it after the last answer.
	expiry := time.NewTimer(time.Until(l.sent.Add(2 * l.s.main.Timeout())))
	l.mu.Unlock()
	defer expiry.Stop()
	for {
		l.mu.Lock()
		keys, settled := make([]string, 0, len(l.leaving)), l.settled
		for _, h := range l.leaving {
			keys = append(keys, keyOf(h.path))
		}
		l.mu.Unlock()
		if len(keys) == 0 {
			return nil
		}
		select {
		case <-settled:
		case <-expiry.C:
			return nil
		case <-ctx.Done():
			slices.Sort(keys)
			return fmt.Errorf("%w: not released, so held until the session expires: the locks %q", kvdb.ErrNoConnection, keys)
		}
	}
}

// watch loses a lease when somebody removes the lock, and moves the lock to the queue
// when somebody asks for that.
func (x *lease) watch(ctx context.Context) {
	again := retry.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	for ctx.Err() == nil {
		h, held := x.current()
		if !held {
			return
		}
		err := x.awaitChange(ctx, h)
		switch {
		case err == nil:
			x.mu.Lock() // it may be moving
			now, _ := x.current()
			x.mu.Unlock()
			if now.znode() == h.znode() && !now.moving {
				x.s.leases.lose(x)
				return
			}
			if !now.moving {
				continue
			}
		case errors.Is(err, zk.ErrNoAuth): // somebody has changed its ACL
			return
		case !errors.Is(err, errChanged):
			continue
		}
		if err := x.moveToQueue(ctx); errors.Is(err, zk.ErrNoNode) {
			x.s.leases.lose(x)
		} else if err != nil && again.Wait(ctx) != nil {
			return
		}
	}
}

// awaitChange waits until the lock's znode is removed, errChanged when it is written.
func (x *lease) awaitChange(ctx context.Context, h hold) error {
	w, err := x.s.hub.subscribe(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	return w.awaitDeletion(ctx, h.znode(), time.Time{}, func(data []byte, _ *zk.Stat) bool {
		return h.queueEntry == "" && !bytes.Equal(data, h.value)
	})
}

// moveToQueue moves the lock from the key to a queue below it, in one step; zk.ErrNoNode
// when it is lost.
func (x *lease) moveToQueue(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	h, held := x.current()
	if !held || h.queueEntry != "" {
		return nil
	}
	s := x.s
	ctx, cancel := bounded(ctx)
	defer cancel()
	entry, err := s.move(ctx, h)
	h.queueEntry = entry
	switch {
	case h.queueEntry != "":
	case err == nil, errors.Is(err, kvdb.ErrUnknownOutcome):
		name, findErr := s.findQueueEntry(ctx, h.queue(), h.entryPrefix())
		switch {
		case findErr != nil:
			h.moving = true
			err = findErr
		case name != "":
			h.queueEntry, err = child(h.queue(), name), nil
		case err == nil:
			return zk.ErrNoNode
		}
	}
	if h.queueEntry != "" {
		h.moving, h.madeKey = false, true
	}
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	x.hold = h
	if _, held := s.leases.held[x]; !held && (h.queueEntry != "" || h.moving) {
		s.leases.discardLocked(h) // what was released when it was lost is not in the queue
	}
	return err
}

// move sends the request of moveToQueue. The entry is "" when the lock is not at the key.
func (s *store) move(ctx context.Context, h hold) (entry string, err error) {
	for {
		stat, _, err := s.look(ctx, h.path, false, true)
		if err != nil || !h.is(stat) {
			return "", err
		}
		results, _, err := s.multi(ctx,
			&zk.DeleteRequest{Path: h.proof(), Version: -1},
			&zk.DeleteRequest{Path: h.path, Version: stat.Version},
			&zk.CreateRequest{Path: h.path, Data: []byte{}, Acl: s.acl, Flags: zk.FlagPersistent},
			&zk.CreateRequest{Path: h.queue(), Data: []byte(madeKey), Acl: s.acl, Flags: zk.FlagPersistent},
			&zk.CreateRequest{Path: child(h.queue(), h.entryPrefix()), Data: h.value, Acl: s.acl, Flags: zk.FlagEphemeralSequential})
		switch {
		case err == nil:
			return results[4].String, nil
		case !errors.Is(err, zk.ErrBadVersion): // else somebody has written it since
			return "", err
		}
	}
}

// madeKey is the value of a queue whose znode was made with the one at the key.
const madeKey = "made with the key's znode"
