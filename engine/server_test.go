package engine_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/eventlog"
	"github.com/portworx/kvdb/internal/locktable"
	"github.com/portworx/kvdb/internal/tree"
)

// Time limits of the simulated server and its clients.
const (
	callLimit  = 300 * time.Millisecond
	leaseTime  = 1500 * time.Millisecond
	watchLimit = 4 * time.Second
)

// server simulates, in this process, a cluster of three members that serves while two of
// them are up. It is a test.Server.
type server struct {
	locks *locktable.Table
	log   *eventlog.Log

	mu      sync.Mutex // protects the fields below
	tree    *tree.Tree
	index   uint64
	members [3]func() // ends the outage of a member; nil if it serves
	serving chan struct{}
	// mute means that requests are executed but not answered.
	mute    bool
	timers  []*time.Timer // stopped when the outage ends
	clients map[*remote]struct{}
}

func newServer() *server {
	s := &server{
		locks: locktable.New(), log: eventlog.New(math.MaxInt, 0), tree: tree.New(),
		serving: make(chan struct{}), clients: map[*remote]struct{}{},
		index: 1, // not 0, because a watch of the events from now on asks for those after index
	}
	close(s.serving)
	return s
}

func (s *server) Members() int             { return len(s.members) }
func (s *server) Stop(member int) error    { return s.fail(member, false) }
func (s *server) Kill(member int) error    { return s.fail(member, false) }
func (s *server) Pause(member int) error   { return s.fail(member, true) }
func (s *server) Isolate(member int) error { return s.fail(member, false) }
func (s *server) Start(member int) error   { return s.recover(member) }
func (s *server) Resume(member int) error  { return s.recover(member) }
func (s *server) Rejoin(member int) error  { return s.recover(member) }

func (s *server) fail(member int, mute bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members[member] != nil {
		return fmt.Errorf("member %d is down already", member)
	}
	before := s.quorum()
	s.members[member] = func() {}
	if before && !s.quorum() {
		s.serving, s.mute = make(chan struct{}), mute
		s.timers = []*time.Timer{
			time.AfterFunc(leaseTime, s.expireLeases), time.AfterFunc(watchLimit, s.endWatches),
		}
	}
	return nil
}

func (s *server) recover(member int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.quorum()
	s.members[member] = nil
	if !before && s.quorum() {
		close(s.serving)
		s.mute = false
		for _, timer := range s.timers {
			timer.Stop()
		}
	}
	return nil
}

// quorum reports whether the server serves. The caller holds s.mu.
func (s *server) quorum() bool {
	up := 0
	for _, down := range s.members {
		if down == nil {
			up++
		}
	}
	return up >= 2
}

func (s *server) expireLeases() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.session.Close()
		c.session = s.locks.NewSession(s.bump)
	}
}

func (s *server) endWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.endWatches(kvdb.ErrNoConnection)
		c.watches, c.endWatches = context.WithCancelCause(context.Background())
	}
}

func (s *server) bump(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	return s.index, nil
}

// reach waits until the server serves. If it already serves, reach ignores the time limits,
// so that a busy machine does not look like an outage.
func (s *server) reach(ctx context.Context) error {
	s.mu.Lock()
	serving := s.serving
	s.mu.Unlock()
	select {
	case <-serving:
		return nil
	default:
	}
	select {
	case <-serving:
		return nil
	case <-ctx.Done():
		return driver.NotReached(ctx, nil)
	}
}

// write runs f atomically. A mute server runs it too.
func (s *server) write(ctx context.Context, f func() error) error {
	s.mu.Lock()
	if s.mute && ctx.Err() == nil {
		err := f()
		s.mu.Unlock()
		<-ctx.Done()
		if err != nil { // the write had no effect
			return driver.NotReached(ctx, nil)
		}
		return fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, driver.WithCause(ctx, nil))
	}
	s.mu.Unlock()
	if err := s.reach(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

// set puts a record at key. The caller holds s.mu.
func (s *server) set(key string, r *tree.Record, ttl time.Duration) {
	s.index++
	r.Created, r.Modified = s.index, s.index
	action := kvdb.KVCreate
	if old := s.tree.Get(key); old != nil {
		r.Created, action = old.Created, kvdb.KVSet
	}
	if ttl > 0 {
		r.Expires = time.Now().Add(ttl).UnixNano()
	}
	s.tree.Set(key, r)
	s.log.Append(eventlog.Event{Key: key, Action: action, Record: r, Index: s.index})
	if ttl > 0 {
		time.AfterFunc(ttl, func() { s.expire(key, r) })
	}
}

// expire deletes key if it still has the record.
func (s *server) expire(key string, r *tree.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tree.Get(key) == r {
		s.remove(key)
	}
}

// remove deletes key, which exists. The caller holds s.mu.
func (s *server) remove(key string) *tree.Record {
	s.index++
	old := s.tree.Get(key)
	s.tree.Delete(key)
	s.log.Append(eventlog.Event{Key: key, Action: kvdb.KVDelete, Record: old, Index: s.index})
	return old
}
