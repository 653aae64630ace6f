package etcdv2

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

const (
	// pulseTime is how often a member is asked how it is, while requests wait for
	// events of it.
	pulseTime = 2 * time.Second
	// majorityPulse: the last of so many pulses must reach a majority, for a member
	// that is cut off from the others has no events. For the rest it is enough that
	// the member answers.
	majorityPulse = 3
	// settlePulses is how many pulses without an event make sure that none is under
	// way: the last begins settleTime after the first. In twice the time of keepAlive
	// a connection has ended or has brought what was lost on it, which TCP sends again
	// at intervals that double.
	settlePulses = 1 + int(settleTime/pulseTime)
	settleTime   = 2 * keepAliveTime
)

// visit is a request that waits for events of a member. When nothing comes,
// nobody would know whether nothing happens or the member is gone, or up to which
// index nothing has happened. The pulse of the member tells.
type visit struct {
	member *member
	// ctx ends with cause driver.ErrTimeLimit when the member is not well.
	ctx    context.Context
	cancel context.CancelCauseFunc
	begun  atomic.Bool // the answer has begun

	mu sync.Mutex // protects what is below
	// indexes are those that the member had reached at the last pulses since an event
	// has come, settlePulses at the most.
	indexes []uint64
}

// visit begins a visit, which its caller must end.
func (m *member) visit(ctx context.Context) *visit {
	v := &visit{member: m}
	v.ctx, v.cancel = context.WithCancelCause(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.visits[v] = struct{}{}
	if len(m.visits) == 1 {
		var pulse context.Context
		pulse, m.endPulse = context.WithCancel(m.pool.lifetime)
		if !m.pool.launch(func() { m.pulse(pulse) }) {
			v.cancel(kvdb.ErrClosed)
		}
	}
	return v
}

// end ends a visit.
func (v *visit) end() {
	v.cancel(nil)
	v.member.mu.Lock()
	defer v.member.mu.Unlock()
	delete(v.member.visits, v)
	if len(v.member.visits) == 0 {
		v.member.endPulse()
	}
}

// pulse asks the member how it is, as long as there are visits, and tells them.
func (m *member) pulse(ctx context.Context) {
	tick := time.NewTicker(pulseTime)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		begun := m.begun()
		index, err := m.ask(ctx, n%majorityPulse == 0)
		m.mu.Lock()
		switch {
		case ctx.Err() != nil: // the visits are not this pulse's
		case err != nil:
			m.pool.history.doubt()
			for v := range m.visits {
				v.cancel(driver.ErrTimeLimit)
			}
		default:
			for _, v := range begun {
				v.settle(index)
			}
		}
		m.mu.Unlock()
		if err == nil && n%majorityPulse == 0 {
			// If that fails now, it is done before the next watch goes on.
			_ = m.pool.verify(ctx)
		}
	}
}

// begun returns the visits whose answer has begun.
func (m *member) begun() []*visit {
	m.mu.Lock()
	defer m.mu.Unlock()
	var begun []*visit
	for v := range m.visits {
		if v.begun.Load() {
			begun = append(begun, v)
		}
	}
	return begun
}

// settle takes note of the member's index at a pulse.
func (v *visit) settle(index uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.indexes) == settlePulses {
		v.indexes = v.indexes[1:]
	}
	v.indexes = append(v.indexes, index)
}

// unsettle takes note of an event.
func (v *visit) unsettle() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.indexes = nil
}

// settled returns an index up to which all events have arrived, or 0. That holds for
// a connection that ends at the member. Behind a proxy it may be dead all the same.
func (v *visit) settled() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.indexes) < settlePulses {
		return 0
	}
	return v.indexes[0]
}

// ask returns the index that the member has reached; 0 when the user may not ask.
func (m *member) ask(ctx context.Context, majority bool) (uint64, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, call.AttemptTimeout)
	defer cancel()
	reply, fate, err := attempt(ctx, m, func() {}, func(ctx context.Context, c *memberClient) (*client.Response, error) {
		return c.keys.Get(ctx, m.pool.pulsePath(), &client.GetOptions{Quorum: majority})
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

// pulsePath is the path of a node that need not be there. A user may read his own.
func (p *pool) pulsePath() string {
	if p.user != "" {
		return loginPath(p.user)
	}
	return pingKey
}
