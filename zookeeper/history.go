package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// The history of a store may go back: it was restored from a backup, or wiped, or another store
// is behind the endpoints. A server closes the connection of a client that has seen a larger zxid
// than the server has. It does so also when it has only not caught up with the other servers. A
// new session distinguishes the two cases. After a sync it has seen all that the store has, so
// history has gone back if its zxid is less than one that was seen before.
//
// A store that went back and has passed that zxid since does not refuse the client. So the session
// of the watches writes a mark when it begins, and the next session looks for the mark: a store
// that went back to a time before the mark was written does not have it. If it went back to
// a later time, a watch that reads an earlier state of a znode than before shows that.

const (
	// marks is the znode with the marks. Each instance chooses one of marksCount.
	marks      = "/" + own + "/history"
	marksCount = 4096
)

// mark is an instance's mark in the store's history.
type mark struct {
	path    string
	written *zk.Stat // nil: it was not written yet
}

func newMark() mark { return mark{path: fmt.Sprintf("%s/%03x", marks, rand.IntN(marksCount))} }

// contradicts reports whether stat, nil if there is no mark, is neither that of the mark that was
// written nor that of a later write of it.
func (m mark) contradicts(stat *zk.Stat) bool {
	if m.written == nil {
		return false
	}
	return stat == nil || stat.Czxid != m.written.Czxid || stat.Version < m.written.Version ||
		stat.Version == m.written.Version && stat.Mzxid != m.written.Mzxid
}

// lateAnswer is how long the answer to a mark is awaited after the end. ZooKeeper's client must
// not be closed before: it would decode the answer while the caller reads it.
const lateAnswer = 500 * time.Millisecond

// continues reports whether the history that x sees continues the one with the mark and the zxid
// seen. It writes the mark again.
func (m *mark) continues(ctx context.Context, x *conn.Conn, seen int64) (bool, error) {
	if err := x.StartSync().Wait(ctx); err != nil {
		return false, err
	}
	same := x.Zxid() >= seen
	var found, written *zk.Stat
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	detach := context.AfterFunc(ctx, func() { time.AfterFunc(lateAnswer, cancel) })
	defer detach()
	err := x.Run(writing, func(c *zk.Conn) error {
		exists, stat, err := c.Exists(m.path)
		if err != nil {
			return err
		}
		if exists {
			found = stat
		}
		written, err = m.write(c)
		if err != nil && fateOf(err) == call.Refused { // the user may only read, or a quota is used up
			written, err = nil, nil
		}
		return err
	})
	if err != nil {
		return false, err
	}
	same = same && !m.contradicts(found)
	m.written = written
	return same, nil
}

// write writes the mark, and creates what is missing for it.
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
	// historyTimeout bounds a check whether history has gone back.
	historyTimeout = 5 * time.Second
	// historyPause is the least time between two checks.
	historyPause = 200 * time.Millisecond
)

// onRefused is called when a server has closed the main connection before it has granted a
// session.
func (s *store) onRefused() {
	if s.checking.CompareAndSwap(false, true) {
		s.life.Go(s.checkHistory)
	}
}

// checkHistory gets the main connection a new session if history has gone back.
func (s *store) checkHistory() {
	defer s.checking.Store(false)
	if s.hasGoneBack() {
		s.leaveHistory(s.leases.session())
	}
	ctx, cancel := context.WithTimeout(s.life.Context(), historyPause)
	defer cancel()
	<-ctx.Done()
}

// hasGoneBack reports whether the store's zxid is less than the largest one that the main
// connection has seen.
func (s *store) hasGoneBack() bool {
	ctx, cancel := driver.WithTimeLimit(s.life.Context(), historyTimeout)
	defer cancel()
	seen := s.main.Zxid()
	x, err := conn.Open(conn.Config{
		Servers: &s.servers, SessionTimeout: watchSessionTimeout, TLS: s.hub.config.TLS, MaxRequest: leastMaxRequest,
		SingleConnection: true, OnEvent: func(zk.Event) {},
	})
	if err != nil {
		return false
	}
	defer x.Close()
	return x.Ready(ctx) == nil && x.StartSync().Wait(ctx) == nil && x.Zxid() < seen
}

// leaveHistory forgets what is known of a history that the store has left. If that session is still
// the current one, its locks are lost, and the main connection gets a new one: the store may have
// the session, with locks that were released later, which would stay as long as it is continued.
func (s *store) leaveHistory(session int) {
	if s.leases.endSession(session) {
		s.main.Renew()
	}
	s.generations.clear()
	s.sentinels.clear()
}
