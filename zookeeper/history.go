package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// The history of a store may go back: it was restored from a backup, or wiped, or
// others are behind the endpoints. A server refuses clients that have seen a larger
// zxid than it has, by closing the connection at once; it does so too when it has only
// not caught up with the other servers. Which of the two it is a new session tells
// after a sync: it has seen all that the store has, so history has gone back when its
// zxid is less than one that was seen before. Then the main client begins anew.
//
// When the store has passed that zxid since, it refuses nobody. The session of the
// watches writes a mark when it begins, and the next one looks for that: a store that
// went back to a time before has another one.

// marks is the znode with the marks, of which each instance writes one of a few.
const (
	marks      = "/" + own + "/history"
	marksCount = 4096
)

// mark is an instance's mark in the store's history.
type mark struct {
	path    string
	written *zk.Stat // nil: it was not written yet
}

func newMark() mark { return mark{path: fmt.Sprintf("%s/%03x", marks, rand.IntN(marksCount))} }

// belies reports whether a mark with that stat, nil for none, is not the one that was
// written, nor that one written again.
func (m mark) belies(stat *zk.Stat) bool {
	if m.written == nil {
		return false
	}
	return stat == nil || stat.Czxid != m.written.Czxid || stat.Version < m.written.Version ||
		stat.Version == m.written.Version && stat.Mzxid != m.written.Mzxid
}

// resumes reports whether the history that x sees is a continuation of the one
// with the mark and seen, a zxid. It writes the mark again.
func (m *mark) resumes(ctx context.Context, x *conn.Conn, seen int64) (bool, error) {
	if err := x.StartSync().Wait(ctx); err != nil {
		return false, err
	}
	same := x.Zxid() >= seen
	var found, written *zk.Stat
	err := x.Run(ctx, func(c *zk.Conn) error {
		exists, stat, err := c.Exists(m.path)
		if err != nil {
			return err
		}
		if exists {
			found = stat
		}
		written, err = m.write(c)
		if err != nil && fateOf(err) == answered { // a user who may only read, or a quota that is used up
			written, err = nil, nil
		}
		return err
	})
	if err != nil {
		return false, err
	}
	same = same && !m.belies(found)
	m.written = written
	return same, nil
}

// write writes the mark, and what it is in when that is missing.
func (m *mark) write(c *zk.Conn) (*zk.Stat, error) {
	everyone := zk.WorldACL(zk.PermAll)
	for {
		stat, err := c.Set(m.path, []byte{}, -1)
		if !errors.Is(err, zk.ErrNoNode) {
			return stat, err
		}
		_, err = c.Create(m.path, []byte{}, zk.FlagPersistent, everyone)
		if errors.Is(err, zk.ErrNoNode) {
			_, err = c.Create(marks, []byte{}, zk.FlagPersistent, everyone)
		}
		if errors.Is(err, zk.ErrNoNode) {
			_, err = c.CreateContainer(parent(marks), []byte{}, zk.FlagContainer, everyone)
		}
		if err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return nil, err
		}
	}
}

const (
	// historyTimeout bounds the time to find out whether history has gone back.
	historyTimeout = 5 * time.Second
	// historyPause is the least time between two times.
	historyPause = 200 * time.Millisecond
)

// refused finds out whether a server that has closed a connection of the main client
// before it had a session has done so because history has gone back.
func (s *store) refused() {
	if !s.checking.CompareAndSwap(false, true) {
		return
	}
	done := func() { s.checking.Store(false) }
	launched := s.launch(func() {
		defer done()
		if s.hasGoneBack() {
			s.forget(s.leases.session())
			s.main.Renew()
		}
		pause := time.NewTimer(historyPause)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-s.lifetime.Done():
		}
	})
	if !launched {
		done()
	}
}

// hasGoneBack reports whether the store's zxid is less than one that the main client
// has seen.
func (s *store) hasGoneBack() bool {
	ctx, cancel := driver.WithTimeLimit(s.lifetime, historyTimeout)
	defer cancel()
	seen := s.main.Zxid()
	x, err := conn.Open(conn.Config{
		Servers: &s.servers, SessionTimeout: watchSessionTimeout, TLS: s.hub.o.TLS, MaxRequest: leastMaxRequest,
		SingleConnection: true, OnEvent: func(zk.Event) {},
	})
	if err != nil {
		return false
	}
	defer x.Close()
	return x.Ready(ctx) == nil && x.StartSync().Wait(ctx) == nil && x.Zxid() < seen
}

// forget forgets what is known of a history that was left: the locks of that session,
// if it is still the present one, are lost.
func (s *store) forget(session int) {
	s.leases.endSession(session)
	s.counts.clear()
	s.kept.clear()
}
