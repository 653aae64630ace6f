package zookeeper

import (
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

// keepAliveEvery is how often the session shows that it is alive, or more often if its
// timeout is short. It is less than the 5 s after which conn takes a silent server for
// dead, so a connection that works is never silent for that long.
const keepAliveEvery = 2 * time.Second

// keepAliveAgain is the pause after a sync that was not answered. On a new connection the
// next one is sent at once, because the connection may not last.
const keepAliveAgain = 50 * time.Millisecond

// leases are the locks that the session holds, and the time until which it is known to be
// alive.
//
// The leader ends a session when it has not heard of it for the session's timeout. Every
// half tick each server reports to the leader which sessions were active. A server that
// has lost the leader answers reads for a while, so an answer to a read proves nothing. An
// answer to a sync or a write proves that the leader has received it, and that it has
// heard of the session when the request before was sent, or hears of it within half a
// tick. So the session is alive until three quarters of its timeout after the sending of
// the last sync or write that was answered. The last quarter is more than the pause
// between two syncs and half a tick if a tick is less than a sixth of the timeout, as it
// usually is (2 s of 20 s).
type leases struct {
	s *store

	mu   sync.Mutex // protects what is below
	held map[*lease]struct{}
	over int // number of sessions that have ended
	// leaving are the locks, by their marks, that are being released in the background.
	// settled is closed and replaced when one of them was released.
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

// endSession loses all leases. It returns false, and does nothing, if that session is over already.
func (l *leases) endSession(session int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over != session {
		return false
	}
	l.over++
	l.loseAllLocked(kvdb.LockExpired)
	return true
}

// session returns the number of the session.
func (l *leases) session() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// keepAlive sends syncs, and calls alive for those that were answered.
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

// alive notes that a sync or write that was sent at that time was answered.
func (l *leases) alive(sent time.Time) {
	timeout := l.s.main.Timeout()
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent.After(l.sent) {
		l.sent = sent
	}
	l.until.Reset(time.Until(l.sent.Add(timeout * 3 / 4)))
}

// add returns the lease of a lock that was obtained, or nil if its session is over.
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

// loseAll loses all leases, because the session is over, or may be.
func (l *leases) loseAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loseAllLocked(kvdb.LockExpired)
}

func (l *leases) loseAllLocked(reason string) {
	for x := range l.held {
		l.loseLocked(x, reason)
	}
}

// removed loses a lease, if it is still held, because somebody has removed the lock.
func (l *leases) removed(x *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loseLocked(x, kvdb.LockRemoved)
}

func (l *leases) loseLocked(x *lease, reason string) {
	if _, held := l.held[x]; !held {
		return
	}
	delete(l.held, x)
	x.reason = reason
	close(x.lost)
	x.endWatch()
	// The session may live on, and with it the lock's znode.
	l.discardLocked(x.hold)
}

// discard releases a lock in the background, as soon as that is possible. It returns a
// channel that is closed then.
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
// over because the server has received nothing for so long. If ctx is about to end before
// that, it returns an error that names the locks. No call of Lock may run any more.
func (l *leases) close(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-endTimeout))
		defer cancel()
	}
	l.mu.Lock()
	l.loseAllLocked(kvdb.LockClosed)
	// The server may have received a request after the last one that it has answered.
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
