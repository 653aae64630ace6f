package etcdv2

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/etcd/common"
)

// lease is a lock that is held. It implements driver.Lease.
type lease struct {
	store       *store
	path, value string // of its node
	token       uint64 // when it was created
	lost        chan struct{}
	checks      chan struct{} // has an element when keep must look at once
	// ctx ends when the node is not to be kept any more.
	ctx context.Context
	end context.CancelFunc
	// expiry is when the node may expire, less the margin: counted from when the
	// last request was sent that moved that on.
	expiry *time.Timer

	mu    sync.Mutex // protects what is below
	state state
	// perhaps: a request to remove the node may have run.
	perhaps bool
}

type state int

const (
	held state = iota
	lost
	released
)

// newLease returns the lock whose node was created by a request of that time.
func (s *store) newLease(path, value string, token uint64, sent time.Time) (*lease, error) {
	l := &lease{store: s, path: path, value: value, token: token, lost: make(chan struct{}), checks: make(chan struct{}, 1)}
	l.ctx, l.end = context.WithCancel(s.lifetime)
	l.expiry = time.AfterFunc(time.Until(sent.Add(lockTTL-lostMargin)), l.lose)
	if !s.launch(l.keep) {
		l.leave(released)
		return nil, kvdb.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		l.leave(released)
		return nil, kvdb.ErrClosed
	}
	s.leases[l] = struct{}{}
	return l, nil
}

// Token implements driver.Lease.
func (l *lease) Token() uint64 { return l.token }

// Lost implements driver.Lease.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// lose closes Lost, if the lock is held.
func (l *lease) lose() { l.leave(lost) }

// leave ends the state held, and reports whether it was that.
func (l *lease) leave(s state) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != held {
		return false
	}
	l.state = s
	l.end()
	l.expiry.Stop()
	if s == lost {
		close(l.lost)
	}
	return true
}

// keep moves the node's expiry on until the lock is lost or let go.
func (l *lease) keep() {
	defer func() {
		l.store.locks.remove(l)
		l.store.mu.Lock()
		defer l.store.mu.Unlock()
		delete(l.store.leases, l)
	}()
	settled := time.NewTimer(watchAfter)
	defer settled.Stop()
	tick := time.NewTicker(common.DefaultLockRefreshDuration)
	defer tick.Stop()
	for {
		select {
		case <-settled.C:
			l.store.locks.add(l)
			continue
		case <-tick.C:
		case <-l.checks:
		case <-l.ctx.Done():
			return
		}
		sent, err := l.store.refresh(l.ctx, l.path, l.value)
		switch {
		case err == nil && l.expiry.Stop():
			l.expiry.Reset(time.Until(sent.Add(lockTTL - lostMargin)))
		case isGone(err):
			l.lose()
			return
		}
	}
}

// removeNode removes the lock's node, and reports whether it was there.
func (l *lease) removeNode(ctx context.Context) (bool, error) {
	_, err := l.store.remove(ctx, l.path, client.DeleteOptions{PrevValue: l.value})
	if isGone(err) {
		return false, nil
	}
	return err == nil, err
}

// Release implements driver.Lease. From the first call on the node is not kept
// any more: should none reach the store, it expires.
func (l *lease) Release(ctx context.Context) error {
	first := l.leave(released)
	l.mu.Lock()
	isLost, perhaps := l.state == lost, l.perhaps
	l.mu.Unlock()
	if isLost {
		return kvdb.ErrInvalidLock
	}
	removed, err := l.removeNode(ctx)
	switch {
	case err != nil:
		if errors.Is(err, kvdb.ErrUnknownOutcome) {
			l.mu.Lock()
			l.perhaps = true
			l.mu.Unlock()
		}
		if first {
			l.store.disown(l.path, l.value)
		}
		return err
	case !removed && !perhaps && first:
		return kvdb.ErrInvalidLock
	}
	return nil
}
