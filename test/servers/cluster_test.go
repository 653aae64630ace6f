package servers_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

const (
	// patience is how long a test waits for what must happen.
	patience = 30 * time.Second
	// glimpse is how long it watches that something does not happen.
	glimpse = 500 * time.Millisecond
)

// bench is a cluster and a client for it.
type bench struct {
	*require.Assertions
	t     *testing.T
	c     *servers.Cluster
	store store
}

// long leaves a test that starts servers to runs without -short.
func long(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers: not with -short")
	}
}

// each runs a test on all kinds of servers.
func each(t *testing.T, o servers.Options, test func(b *bench)) {
	long(t)
	for _, k := range kinds {
		t.Run(k.kind.String(), func(t *testing.T) {
			t.Parallel()
			c := k.start(t, o)
			test(&bench{require.New(t), t, c, k.store(newWeb(t, c))})
		})
	}
}

// within calls with a time limit.
func within[R any](b *bench, d time.Duration, call func(context.Context) (R, error)) (R, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), d)
	defer cancel()
	return call(ctx)
}

// put writes at once: a cluster that is ready has no excuse.
func (b *bench) put(m *servers.Member, name string) {
	b.t.Helper()
	b.NoError(b.tryPut(patience, m.Endpoint(), name))
}

func (b *bench) tryPut(d time.Duration, endpoint, name string) error {
	_, err := within(b, d, func(ctx context.Context) (any, error) { return nil, b.store.put(ctx, endpoint, name) })
	return err
}

// has asserts that a member knows the name.
func (b *bench) has(m *servers.Member, name string) {
	b.t.Helper()
	has, err := within(b, patience, func(ctx context.Context) (bool, error) {
		return b.store.has(ctx, m.Endpoint(), name)
	})
	b.NoError(err)
	b.True(has, "%s at %s", name, m.Name())
}

// stuck asserts that a write at endpoint gets nowhere.
func (b *bench) stuck(endpoint string) {
	b.t.Helper()
	b.ErrorIs(b.tryPut(glimpse, endpoint, "stuck"), context.DeadlineExceeded)
}

// leader waits for one.
func (b *bench) leader() *servers.Member {
	b.t.Helper()
	m, err := within(b, patience, b.c.Leader)
	b.NoError(err)
	return m
}

// leaderBut waits until another than m leads. For a while m may believe that it
// still does.
func (b *bench) leaderBut(m *servers.Member) *servers.Member {
	b.t.Helper()
	var leader *servers.Member
	b.Eventually(func() bool {
		var err error
		leader, err = within(b, 10*glimpse, b.c.Leader)
		return err == nil && leader != m
	}, patience, glimpse/10)
	return leader
}

// ready waits until all that run serve.
func (b *bench) ready() {
	b.t.Helper()
	_, err := within(b, patience, func(ctx context.Context) (any, error) { return nil, b.c.Ready(ctx) })
	b.NoError(err)
}

func TestOneMember(t *testing.T) {
	each(t, servers.Options{}, func(b *bench) {
		m := b.leader()
		b.Equal([]string{m.Endpoint()}, b.c.Endpoints())
		b.put(m, "first")

		b.NoError(m.Kill())
		b.False(m.Running())
		b.ErrorIs(b.tryPut(patience, m.Endpoint(), "refused"), syscall.ECONNREFUSED)
		b.NoError(m.Kill(), "of a dead one")
		b.NoError(m.Stop(), "of a dead one")
		b.Error(m.Pause(), "of a dead one")
		b.NoError(m.Start())
		b.Error(m.Start(), "of a running one")
		b.has(m, "first")
		b.put(m, "second")

		b.NoError(m.Restart())
		b.has(m, "second")

		b.NoError(m.Pause())
		b.stuck(m.Endpoint())
		b.NoError(m.Resume())
		b.put(m, "third")

		b.NoError(m.Pause())
		b.NoError(m.Stop(), "of a paused one")
		b.NoError(m.Start())
		b.has(m, "third")
	})
}

// A member counts what it is asked for.
func TestRequests(t *testing.T) {
	each(t, servers.Options{}, func(b *bench) {
		m := b.leader()
		count := func() float64 {
			n, err := within(b, patience, m.Requests)
			b.NoError(err)
			return n
		}
		b.put(m, "warm")
		before := count()
		const puts = 50
		for i := range puts {
			b.put(m, fmt.Sprint("name", i))
		}
		b.InDelta(puts, count()-before, puts/5)
	})
}

func TestLeaderKilled(t *testing.T) {
	each(t, servers.Options{Members: 3}, func(b *bench) {
		b.Len(b.c.Endpoints(), 3)
		first := b.leader()
		b.put(first, "first")
		b.NoError(first.Kill())
		second := b.leader()
		b.NotEqual(first.Name(), second.Name())
		b.ready()
		for _, m := range b.c.All() {
			if m != first {
				b.has(m, "first")
			}
		}
		b.put(second, "second")

		// The last of three alone is no quorum.
		b.NoError(second.Stop())
		var third *servers.Member
		for _, m := range b.c.All() {
			if m.Running() {
				b.Nil(third)
				third = m
			}
		}
		b.Error(b.tryPut(glimpse, third.Endpoint(), "alone"))

		b.NoError(first.Start())
		b.has(first, "second")
		b.NoError(second.Start())
		b.put(second, "third")
		b.has(first, "third")
	})
}

func TestStartWithoutQuorum(t *testing.T) {
	each(t, servers.Options{Members: 3}, func(b *bench) {
		for _, m := range b.c.All() {
			b.NoError(m.Kill())
		}
		b.NoError(b.c.All()[0].Start(), "returns, though the member cannot serve")
		b.Error(b.tryPut(glimpse, b.c.Endpoints()[0], "alone"))
		b.NoError(b.c.All()[1].Start())
		b.put(b.c.All()[1], "two")
	})
}

func TestLeaderPaused(t *testing.T) {
	each(t, servers.Options{Members: 3}, func(b *bench) {
		first := b.leader()
		b.NoError(first.Pause())
		second := b.leader()
		b.NotEqual(first.Name(), second.Name())
		b.ready()
		b.put(second, "meanwhile")
		b.NoError(first.Resume())
		b.ready()
		b.has(first, "meanwhile")
	})
}

func TestLeaderIsolated(t *testing.T) {
	each(t, servers.Options{Members: 3}, func(b *bench) {
		first := b.leader()
		b.NoError(first.Isolate())
		b.stuck(first.Endpoint())
		second := b.leaderBut(first)
		b.put(second, "meanwhile")
		b.Error(b.tryPut(glimpse, first.Direct(), "apart"), "a member without the others")

		b.NoError(first.Rejoin())
		b.ready()
		b.has(first, "meanwhile")
		b.put(first, "together")
		b.has(second, "together")
	})
}

func TestLeaderCutFromPeers(t *testing.T) {
	each(t, servers.Options{Members: 3}, func(b *bench) {
		first := b.leader()
		b.NoError(first.Peers().Cut())
		second := b.leaderBut(first)
		b.put(second, "meanwhile")
		b.Error(b.tryPut(glimpse, first.Endpoint(), "apart"))
		b.NoError(first.Peers().Heal())
		b.ready()
		b.has(first, "meanwhile")
	})
}
