package etcdv2

import (
	"context"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

const (
	// heartbeatInterval is the time between two heartbeats, which are requests to a member
	// while long polls wait for events from it.
	heartbeatInterval = 2 * time.Second
	// majorityEvery: every third heartbeat must reach a majority, because a member that is
	// cut off from the others has no events. To the others the member itself answers.
	majorityEvery = 3
	// settleBeats is the number of heartbeats without an event after which no event is still
	// under way. The last begins settleTime after the first. That is twice the time of
	// keep-alive, in which a connection has either ended or delivered what was lost on it,
	// because TCP sends that again at intervals that double.
	settleBeats = 1 + int(settleTime/heartbeatInterval)
	settleTime  = 2 * keepAliveTime
)

// heartbeat sends heartbeats as long as the member has long polls, and notes the replies
// in them. When one fails it cancels them.
func (m *member) heartbeat(ctx context.Context) {
	tick := time.NewTicker(heartbeatInterval)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		begun := m.begunPolls()
		index, err := m.ask(ctx, n%majorityEvery == 0)
		m.mu.Lock()
		switch {
		case ctx.Err() != nil: // another call of heartbeat serves the present long polls
		case err != nil:
			m.pool.history.doubt()
			for l := range m.longPolls {
				l.cancel(driver.ErrTimeLimit)
			}
		default:
			for _, l := range begun {
				l.noteHeartbeat(index)
			}
		}
		m.mu.Unlock()
		if err == nil && n%majorityEvery == 0 {
			// If this fails, retryUntil does it before a watch goes on.
			_ = m.pool.verify(ctx)
		}
	}
}

// begunPolls returns the long polls whose answer has begun.
func (m *member) begunPolls() []*longPoll {
	m.mu.Lock()
	defer m.mu.Unlock()
	var begun []*longPoll
	for l := range m.longPolls {
		if l.begun.Load() {
			begun = append(begun, l)
		}
	}
	return begun
}

// ask returns the index that the member has reached; 0 if the user has no permission.
func (m *member) ask(ctx context.Context, majority bool) (uint64, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, call.AttemptTimeout)
	defer cancel()
	reply, fate, err := attempt(ctx, m, func() {}, func(ctx context.Context, c *memberClient) (*client.Response, error) {
		return c.keys.Get(ctx, m.pool.heartbeatPath(), &client.GetOptions{Quorum: majority})
	})
	if err != nil && fate != call.Refused {
		return 0, err
	}
	if majority {
		m.pool.Note()
	}
	if err != nil {
		return answer(err).Index, nil
	}
	return reply.Index, nil
}

// heartbeatPath returns the path of a node that need not exist. A user has permission to
// read the one of his name.
func (p *pool) heartbeatPath() string {
	if p.user != "" {
		return loginPath(p.user)
	}
	return pingKey
}
