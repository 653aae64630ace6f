package call_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/retry"
)

// recorder is a hook that records requests.
type recorder struct {
	mu       sync.Mutex
	requests []kvdb.Request
	contexts []context.Context
}

func (r *recorder) OnRequest(ctx context.Context, request kvdb.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, request)
	r.contexts = append(r.contexts, ctx)
}

// observed returns hooks and a recorder among them.
func observed() (*driver.Hooks, *recorder) {
	r, hooks := &recorder{}, &driver.Hooks{}
	hooks.Add(r)
	return hooks, r
}

type key struct{}

// Hooks get each attempt, with its fate and number, and the context of the call.
func TestHooks(t *testing.T) {
	const took = time.Second
	request := func(number int, endpoint string, fate kvdb.Fate, err error) kvdb.Request {
		return kvdb.Request{Backend: "store", Endpoint: endpoint, Attempt: number, Fate: fate, Took: took, Err: err}
	}
	for name, c := range map[string]struct {
		kind call.Kind
		errs []error
		want []kvdb.Request
	}{
		"an answer": {call.Once, nil, []kvdb.Request{request(1, "a:1", kvdb.FateAnswered, nil)}},
		"refused":   {call.Repeatable, []error{errNo}, []kvdb.Request{request(1, "a:1", kvdb.FateRefused, errNo)}},
		"sent again": {call.Repeatable, []error{errDown, errSevered}, []kvdb.Request{
			request(1, "", kvdb.FateNotRun, errDown), request(2, "a:1", kvdb.FatePerhaps, errSevered), request(3, "a:1", kvdb.FateAnswered, nil),
		}},
		"not sent again": {call.Once, []error{errDown, errSevered}, []kvdb.Request{
			request(1, "", kvdb.FateNotRun, errDown), request(2, "a:1", kvdb.FatePerhaps, errSevered),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hooks, r := observed()
				p := call.Policy{Retries: 9, Backoff: retry.Backoff{Min: time.Hour, Max: time.Hour}, Hooks: hooks, Backend: "store"}
				n := 0
				send := sending(&n, c.errs...)
				_ = p.Do(context.WithValue(t.Context(), key{}, true), c.kind, func(ctx context.Context, begun func()) (fmt.Stringer, call.Fate, error) {
					time.Sleep(took) // in the bubble
					return send(ctx, begun)
				})
				require.Equal(t, c.want, r.requests)
				for _, ctx := range r.contexts {
					require.Equal(t, true, ctx.Value(key{}), "the context is that of the call")
				}
			})
		})
	}
}

// A Pool tells the endpoint that it has sent a request to.
func TestHooksOfPool(t *testing.T) {
	hooks, r := observed()
	p := call.NewPool[call.Address](call.Policy{Retries: 9, Hooks: hooks, Backend: "store"})
	p.Replace([]call.Address{"a:1", "b:2"}, nil)
	var of []call.Address
	require.NoError(t, p.Call(t.Context(), call.Once, asked(&of, errDown)))
	_, err := p.Try(t.Context(), "c:3", asked(&of, nil, nil, errNo))
	require.Equal(t, errNo, err)
	for i, want := range []kvdb.Request{
		{Endpoint: "a:1", Attempt: 1, Fate: kvdb.FateNotRun, Err: errDown},
		{Endpoint: "b:2", Attempt: 2, Fate: kvdb.FateAnswered},
		{Endpoint: "c:3", Attempt: 1, Fate: kvdb.FateRefused, Err: errNo},
	} {
		want.Backend, want.Took = "store", r.requests[i].Took
		require.Equal(t, want, r.requests[i])
	}
	require.Len(t, r.requests, 3)
}

// First numbers its attempts in the order in which they begin.
func TestHooksOfFirst(t *testing.T) {
	hooks, r := observed()
	p := call.NewPool[call.Address](call.Policy{Backoff: retry.Backoff{Min: time.Millisecond, Max: time.Millisecond}, Hooks: hooks})
	p.Replace([]call.Address{"a:1", "b:2"}, nil)
	var of []call.Address
	require.NoError(t, p.First(t.Context(), asked(&of, errDown, errDown)))
	var told []string
	for _, request := range r.requests {
		told = append(told, fmt.Sprint(request.Attempt, " ", request.Endpoint, " ", request.Fate))
	}
	require.Equal(t, []string{"1 a:1 not_run", "2 b:2 not_run", "3 a:1 answered"}, told)
}

// A request that is unobserved is not told.
func TestUnobserved(t *testing.T) {
	hooks, r := observed()
	p := call.Policy{Hooks: hooks}
	n := 0
	require.NoError(t, p.Do(call.Unobserved(t.Context()), call.Once, sending(&n)))
	require.Equal(t, 1, n)
	require.Empty(t, r.requests)
}

// ignorant is a hook that does not observe requests.
type ignorant struct{}

func (ignorant) OnConnectionMade(string, string)        {}
func (ignorant) OnConnectionLost(string, string, error) {}

// Without hooks for requests nothing is allocated.
func TestNoHooks(t *testing.T) {
	answer := func(context.Context, func()) (fmt.Stringer, call.Fate, error) { return nil, call.Refused, nil }
	others := &driver.Hooks{}
	others.Add(ignorant{})
	for _, hooks := range []*driver.Hooks{nil, {}, others} {
		p, ctx := call.Policy{Hooks: hooks}, t.Context()
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			if p.Do(ctx, call.Once, answer) != nil {
				panic("refused")
			}
		}))
	}
}

// BenchmarkDo shows what hooks cost.
func BenchmarkDo(b *testing.B) {
	answer := func(context.Context, func()) (fmt.Stringer, call.Fate, error) { return nil, call.Refused, nil }
	hooks := &driver.Hooks{}
	hooks.Add(discard{})
	for name, hooks := range map[string]*driver.Hooks{"without": {}, "with": hooks} {
		p := call.Policy{Hooks: hooks}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = p.Do(b.Context(), call.Once, answer)
			}
		})
	}
}

type discard struct{}

func (discard) OnRequest(context.Context, kvdb.Request) {}
