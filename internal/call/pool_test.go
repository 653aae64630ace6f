package call_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/retry"
)

var (
	errNo      = errors.New("no")
	errDown    = errors.New("down")
	errSevered = errors.New("severed")
)

func fateOf(err error) call.Fate {
	switch err {
	case errNo:
		return call.Refused
	case errDown:
		return call.NotRun
	}
	return call.Perhaps
}

func newPool(retries int, endpoints ...call.Address) *call.Pool[call.Address] {
	p := call.NewPool[call.Address](call.Policy{Backoff: retry.Backoff{Min: time.Millisecond, Max: time.Second}, Retries: retries})
	p.Replace(endpoints, given(endpoints))
	return p
}

// given returns endpoints as a caller writes them.
func given(endpoints []call.Address) (given []string) {
	for _, e := range endpoints {
		given = append(given, e.String())
	}
	return given
}

// asked returns a Request that fails with errs in turn and then succeeds. It appends the
// endpoints asked to of.
func asked(of *[]call.Address, errs ...error) call.Request[call.Address] {
	return func(_ context.Context, e call.Address, begun func()) (call.Fate, error) {
		*of = append(*of, e)
		if len(*of) > len(errs) {
			begun()
			return call.Perhaps, nil
		}
		err := errs[len(*of)-1]
		return fateOf(err), err
	}
}

func TestCall(t *testing.T) {
	for name, c := range map[string]struct {
		kind    call.Kind
		retries int
		errs    []error
		want    error
		asked   []call.Address
	}{
		"an answer":                         {call.Once, 9, nil, nil, []call.Address{"a"}},
		"a refusal":                         {call.Once, 9, []error{errNo}, errNo, []call.Address{"a"}},
		"a refusal of a read":               {call.Repeatable, 9, []error{errNo}, errNo, []call.Address{"a"}},
		"one is down":                       {call.Once, 9, []error{errDown}, nil, []call.Address{"a", "b"}},
		"both are down, for a while":        {call.Once, 9, []error{errDown, errDown, errDown}, nil, []call.Address{"a", "b", "a", "b"}},
		"a write that may have run":         {call.Once, 9, []error{errSevered}, kvdb.ErrUnknownOutcome, []call.Address{"a"}},
		"a retried write that may have run": {call.Once, 9, []error{errDown, errSevered}, kvdb.ErrUnknownOutcome, []call.Address{"a", "b"}},
		"a read whose answer is lost":       {call.Repeatable, 9, []error{errSevered, errSevered}, nil, []call.Address{"a", "b", "a"}},
		"no more retries":                   {call.Repeatable, 2, []error{errDown, errDown, errDown}, kvdb.ErrNoConnection, []call.Address{"a", "b", "a"}},
		"no retries, with a connection":     {call.Repeatable, 0, []error{errSevered}, kvdb.ErrNoConnection, []call.Address{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var of []call.Address
			err := newPool(c.retries, "a", "b").Call(t.Context(), c.kind, asked(&of, c.errs...))
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.asked, of)
		})
	}
}

// The endpoint that has answered is asked first next time.
func TestCurrent(t *testing.T) {
	p := newPool(9, "a", "b", "c")
	for _, want := range [][]call.Address{{"a", "b"}, {"b", "c"}, {"c", "a"}} {
		var of []call.Address
		require.NoError(t, p.Call(t.Context(), call.Once, asked(&of, errDown)))
		require.Equal(t, want, of)
	}
	p.Avoid("b")
	require.Equal(t, call.Address("a"), p.Current(), "b is not the current one")
	var of []call.Address
	require.Equal(t, errNo, p.Call(t.Context(), call.Repeatable, asked(&of, errNo)))
	require.Equal(t, call.Address("a"), p.Current(), "an endpoint that refuses stays the current one")
	require.Equal(t, []string{"a", "b", "c"}, p.Given())
	require.ElementsMatch(t, p.Given(), given(p.All()))
}

// Call waits after each round of all endpoints.
func TestRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := call.NewPool[call.Address](call.Policy{Backoff: retry.Backoff{Min: time.Hour, Max: time.Hour}, Retries: 9})
		p.Replace([]call.Address{"a", "b"}, nil)
		var of []call.Address
		began := time.Now()
		require.NoError(t, p.Call(t.Context(), call.Once, asked(&of, errDown, errDown, errDown, errDown)))
		require.Len(t, of, 5)
		require.InDelta(t, 90*time.Minute, time.Since(began), float64(30*time.Minute))
	})
}

// If the caller gives up, the current endpoint stays the same.
func TestGivenUp(t *testing.T) {
	cause := errors.New("enough")
	for name, c := range map[string]struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want []error
	}{
		"cancelled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Millisecond, func() { cancel(cause) })
			return ctx, func() { cancel(nil) }
		}, []error{cause, context.Canceled}},
		"past the deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Millisecond, cause)
		}, []error{cause, context.DeadlineExceeded}},
	} {
		for _, k := range []call.Kind{call.Once, call.Repeatable} {
			t.Run(name, func(t *testing.T) {
				p := newPool(9, "a", "b")
				ctx, cancel := c.end(t.Context())
				defer cancel()
				err := p.Call(ctx, k, func(ctx context.Context, _ call.Address, _ func()) (call.Fate, error) {
					<-ctx.Done()
					return call.Perhaps, ctx.Err()
				})
				for _, want := range c.want {
					require.ErrorIs(t, err, want)
				}
				require.NotErrorIs(t, err, kvdb.ErrNoConnection)
				require.Equal(t, call.Address("a"), p.Current())
			})
		}
	}
}

// First finds an endpoint that serves although others are silent, and makes it the current
// one.
func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := func(ctx context.Context, e call.Address, _ func()) (call.Fate, error) {
			switch e {
			case "silent":
				<-ctx.Done()
				return call.Perhaps, context.Cause(ctx)
			case "down":
				return call.NotRun, errDown
			case "no":
				return call.Refused, errNo
			}
			return call.Perhaps, nil
		}
		for _, c := range []struct {
			endpoints []call.Address
			took      time.Duration
			current   call.Address
			want      error
		}{
			{[]call.Address{"a"}, 0, "a", nil},
			{[]call.Address{"down", "no", "a"}, 0, "a", nil},
			{[]call.Address{"silent", "silent", "silent", "silent", "a", "b"}, time.Second, "a", nil},
			{[]call.Address{"no"}, 0, "no", errNo},
			{[]call.Address{"silent", "down"}, 10 * time.Second, "silent", kvdb.ErrNoConnection},
			{[]call.Address{"down", "no"}, 10 * time.Second, "down", kvdb.ErrNoConnection},
		} {
			p := newPool(0, c.endpoints...)
			ctx, cancel := driver.WithTimeLimit(t.Context(), 10*time.Second)
			began := time.Now()
			require.ErrorIs(t, p.First(ctx, ask), c.want, "%v", c.endpoints)
			require.Equal(t, c.took, time.Since(began), "%v", c.endpoints)
			cancel()
			require.Equal(t, c.current, p.Current())
			require.ElementsMatch(t, c.endpoints, p.All())
		}
	})
}

// A server that is starting is asked again.
func TestFirstAgain(t *testing.T) {
	var of []call.Address
	require.NoError(t, newPool(0, "a").First(t.Context(), asked(&of, errDown, errSevered)))
	require.Equal(t, []call.Address{"a", "a", "a"}, of)
}

// lateContext ends after its deadline, as happens on a busy machine.
type lateContext struct {
	context.Context
	deadline time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

// A dialer may notice the caller's deadline before the context ends.
func TestDialerAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(0, "a", "b")
		deadline := time.Now().Add(time.Second)
		ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(time.Millisecond))
		defer cancel()
		err := p.Call(lateContext{ctx, deadline}, call.Repeatable, func(context.Context, call.Address, func()) (call.Fate, error) {
			time.Sleep(time.Until(deadline)) // in the bubble
			return call.NotRun, os.ErrDeadlineExceeded
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, kvdb.ErrNoConnection)
		require.Equal(t, call.Address("a"), p.Current())
	})
}

// The error of a call that ran out of time includes the earlier error.
func TestOutOfTime(t *testing.T) {
	for _, k := range []call.Kind{call.Once, call.Repeatable} {
		p := newPool(9, "a", "b")
		ctx, cancel := driver.WithTimeLimit(t.Context(), 20*time.Millisecond)
		defer cancel()
		err := p.Call(ctx, k, func(ctx context.Context, e call.Address, _ func()) (call.Fate, error) {
			if e == "a" {
				return call.NotRun, errDown
			}
			<-ctx.Done()
			return call.NotRun, ctx.Err()
		})
		require.ErrorIs(t, err, errDown)
		require.ErrorIs(t, err, driver.ErrTimeLimit)
		require.ErrorIs(t, err, kvdb.ErrNoConnection)
	}
}

// The error of a First that ran out of time includes the earlier error.
func TestFirstOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := driver.WithTimeLimit(t.Context(), time.Second)
		defer cancel()
		asked := 0
		err := newPool(0, "a").First(ctx, func(ctx context.Context, _ call.Address, _ func()) (call.Fate, error) {
			if asked++; asked == 1 {
				return call.NotRun, errDown
			}
			<-ctx.Done()
			return call.NotRun, ctx.Err()
		})
		require.ErrorIs(t, err, errDown)
		require.ErrorIs(t, err, driver.ErrTimeLimit)
		require.ErrorIs(t, err, kvdb.ErrNoConnection)
	})
}

// A silent endpoint delays a read by AttemptTimeout, and a write until its deadline. An
// answer that has begun may take longer.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(9, "a", "b")
		silent := func(ctx context.Context, e call.Address, _ func()) (call.Fate, error) {
			if e != "a" {
				return call.Perhaps, nil
			}
			<-ctx.Done()
			return call.Perhaps, context.Cause(ctx)
		}
		began := time.Now()
		require.NoError(t, p.Call(t.Context(), call.Repeatable, silent))
		require.Equal(t, call.AttemptTimeout, time.Since(began))
		time.Sleep(time.Second) // in the bubble
		require.Equal(t, time.Second, p.Silence())

		p = newPool(9, "a", "b")
		ctx, cancel := driver.WithTimeLimit(t.Context(), 10*time.Second)
		defer cancel()
		err := p.Call(ctx, call.Once, silent)
		require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
		require.ErrorIs(t, err, driver.ErrTimeLimit)
		require.Equal(t, call.Address("b"), p.Current())

		require.NoError(t, p.Call(t.Context(), call.Repeatable, func(ctx context.Context, _ call.Address, begun func()) (call.Fate, error) {
			begun()
			time.Sleep(2 * call.AttemptTimeout)
			return call.Perhaps, ctx.Err()
		}))
	})
}

// Callers with short deadlines find another endpoint if one no longer answers.
func TestCallersWithShortDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, k := range []call.Kind{call.Once, call.Repeatable} {
			p := newPool(9, "silent", "b")
			began := time.Now()
			for {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				err := p.Call(ctx, k, func(ctx context.Context, e call.Address, _ func()) (call.Fate, error) {
					if e != "silent" {
						return call.Perhaps, nil
					}
					<-ctx.Done()
					return call.Perhaps, ctx.Err()
				})
				cancel()
				if err == nil {
					break
				}
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.LessOrEqual(t, time.Since(began), call.AttemptTimeout)
			}
			require.Equal(t, call.AttemptTimeout, time.Since(began))
		}
	})
}
