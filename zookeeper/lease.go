package zookeeper

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// keepAliveEvery is how often the session shows that it is alive, or more often
// if its timeout is short. It is less than silence: a connection that works is
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

	mu    sync.Mutex // protects what is below
	held  map[*lease]struct{}
	sent  time.Time   // of the last sync or write that was answered
	until *time.Timer // runs loseAll when the session may be over
}

func (l *leases) start(s *store) {
	l.s = s
	l.held = map[*lease]struct{}{}
	l.until = time.AfterFunc(sessionTimeout, l.loseAll)
	l.until.Stop()
}

// told gets the client's events.
func (l *leases) told(e zk.Event) {
	if e.Type == zk.EventSession && e.State == zk.StateExpired {
		l.loseAll()
	}
}

// keepAlive sends syncs, and notes when those that were answered were sent.
func (l *leases) keepAlive() {
	defer l.until.Stop()
	for {
		pauses := keepAliveAgain
		ctx, cancel := driver.WithTimeLimit(l.s.lifetime, opTimeout)
		if l.s.main.await(ctx) == nil {
			sent := time.Now()
			err := l.s.main.run(ctx, func(c *zk.Conn) error { _, err := c.Sync("/"); return err })
			if err == nil {
				l.alive(sent)
				pauses = min(keepAliveEvery, time.Duration(l.s.main.timeout.Load())/6)
			}
		}
		cancel()
		pause := time.NewTimer(pauses)
		select {
		case <-pause.C:
		case <-l.s.lifetime.Done():
			pause.Stop()
			return
		}
	}
}

// alive notes that the session was alive at that time.
func (l *leases) alive(sent time.Time) {
	timeout := time.Duration(l.s.main.timeout.Load())
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent.After(l.sent) {
		l.sent = sent
	}
	l.until.Reset(time.Until(l.sent.Add(timeout * 3 / 4)))
}

func (l *leases) add(x *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[x] = struct{}{}
}

// loseAll loses all leases: the session is over, or may be.
func (l *leases) loseAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
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
	l.s.launch(func() { l.s.discard(x.path) })
}

// lease implements driver.Lease.
type lease struct {
	s        *store
	path     string // of its znode, which nobody ever creates again
	token    uint64
	lost     chan struct{}
	endWatch context.CancelFunc

	mu        sync.Mutex // one Release at a time; protects what is below
	releasing bool       // its znode will be deleted
	released  bool       // it is
}

// Token implements driver.Lease.
func (x *lease) Token() uint64 { return x.token }

// Lost implements driver.Lease.
func (x *lease) Lost() <-chan struct{} { return x.lost }

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
	// To delete it twice does no harm.
	sentBefore := again // and may have run
	err := x.s.call(ctx, true, func(c *zk.Conn) error {
		err := c.Delete(x.path, -1)
		if errors.Is(err, zk.ErrNoNode) && sentBefore {
			return nil
		}
		sentBefore = sentBefore || fateOf(err) == perhaps
		return err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return kvdb.ErrInvalidLock
	case err == nil:
		x.released = true
	case !again:
		x.s.launch(func() { x.s.discard(x.path) })
	}
	return err
}

// discard deletes a znode of the session's as soon as that is possible.
func (s *store) discard(path string) {
	wait := retry.Backoff{Min: 10 * time.Millisecond, Max: 2 * time.Second}
	for s.lifetime.Err() == nil {
		err := s.call(s.lifetime, true, func(c *zk.Conn) error { return c.Delete(path, -1) })
		if err == nil || errors.Is(err, zk.ErrNoNode) || wait.Wait(s.lifetime) != nil {
			return
		}
	}
}
