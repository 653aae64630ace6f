package etcdv2

import (
	"context"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/held"
)

// lease is a lock that is held. It implements driver.Lease.
type lease struct {
	*held.Lock
	store       *store
	path, value string        // of the lock's node
	checks      chan struct{} // has an element when keepAlive must refresh the node at once
}

// newLease returns a lock. sent is the time of the request that created its node.
func (s *store) newLease(path, value string, token uint64, sent time.Time) *lease {
	l := &lease{store: s, path: path, value: value, checks: make(chan struct{}, 1)}
	l.Lock = s.locks.Add(lockedKey(path), token, s.removal(path, value))
	l.Renewed(sent)
	s.life.Go(l.keepAlive)
	return l
}

// removal returns the request that removes the node of a lock.
func (s *store) removal(path, value string) held.Remove {
	return func(ctx context.Context) (bool, error) {
		_, err := s.remove(ctx, path, client.DeleteOptions{PrevValue: value})
		if isGone(err) {
			return false, nil
		}
		return err == nil, err
	}
}

// keepAlive refreshes the TTL of the node until the lock is lost or released. If no request
// to release the lock reaches the store afterwards, the node expires.
func (l *lease) keepAlive() {
	defer l.store.lockWatch.remove(l)
	watching := time.AfterFunc(watchAfter, func() { l.store.lockWatch.add(l) })
	defer watching.Stop()
	tick := time.NewTicker(l.store.times.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.checks:
		case <-l.Context().Done():
			return
		}
		sent, err := l.store.refresh(call.Unobserved(l.Context()), l.path, l.value)
		switch {
		case err == nil:
			l.Renewed(sent)
		case isGone(err):
			l.Gone()
			return
		}
	}
}
