package call_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/retry"
)

// sending returns an Attempt that fails with errs in turn and then succeeds. It counts the
// requests in n.
func sending(n *int, errs ...error) call.Attempt {
	return func(context.Context, func()) (fmt.Stringer, call.Fate, error) {
		*n++
		if *n > len(errs) {
			return call.Address("a:1"), call.Refused, nil
		}
		err := errs[*n-1]
		if err == errDown {
			return nil, call.NotRun, err
		}
		return call.Address("a:1"), fateOf(err), err
	}
}

// silent is an Attempt that gets no answer.
func silent(ctx context.Context, _ func()) (fmt.Stringer, call.Fate, error) {
	<-ctx.Done()
	return nil, call.Perhaps, ctx.Err()
}

// Do sends a request again, or returns an error, according to its Fate and Kind.
func TestDo(t *testing.T) {
	fails := func(times int, err error) (errs []error) {
		for range times {
			errs = append(errs, err)
		}
		return errs
	}
	for name, c := range map[string]struct {
		kind    call.Kind
		retries int
		errs    []error
		sent    int
		want    error // nil for an answer
	}{
		"an answer, once":              {call.Once, 5, nil, 1, nil},
		"an answer":                    {call.Repeatable, 5, nil, 1, nil},
		"refused, once":                {call.Once, 5, fails(9, errNo), 1, errNo},
		"refused":                      {call.Repeatable, 5, fails(9, errNo), 1, errNo},
		"refused at last":              {call.Once, 5, []error{errDown, errNo}, 2, errNo},
		"not run, once":                {call.Once, 5, fails(3, errDown), 4, nil},
		"not run":                      {call.Repeatable, 5, fails(3, errDown), 4, nil},
		"perhaps run, once":            {call.Once, 5, fails(1, errSevered), 1, kvdb.ErrUnknownOutcome},
		"perhaps run":                  {call.Repeatable, 5, fails(3, errSevered), 4, nil},
		"perhaps run at last, once":    {call.Once, 5, []error{errDown, errSevered}, 2, kvdb.ErrUnknownOutcome},
		"perhaps run, without retries": {call.Once, 0, fails(1, errSevered), 1, kvdb.ErrUnknownOutcome},
		"the last retry, once":         {call.Once, 2, fails(2, errDown), 3, nil},
		"the last retry":               {call.Repeatable, 2, fails(2, errSevered), 3, nil},
		"no more retries, once":        {call.Once, 2, fails(3, errDown), 3, kvdb.ErrNoConnection},
		"no more retries":              {call.Repeatable, 2, fails(3, errSevered), 3, kvdb.ErrNoConnection},
		"the last error is returned":   {call.Repeatable, 1, []error{errDown, errSevered}, 2, kvdb.ErrNoConnection},
		"no retries, once":             {call.Once, 0, fails(1, errDown), 1, kvdb.ErrNoConnection},
		"no retries":                   {call.Repeatable, 0, fails(1, errSevered), 1, kvdb.ErrNoConnection},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := call.Policy{Retries: c.retries, Backoff: retry.Backoff{Min: time.Second, Max: time.Second}}
				n := 0
				err := p.Do(t.Context(), c.kind, sending(&n, c.errs...))
				require.Equal(t, c.sent, n)
				require.ErrorIs(t, err, c.want)
				switch c.want {
				case errNo:
					require.Equal(t, errNo, err, "the error is unchanged")
				case kvdb.ErrUnknownOutcome, kvdb.ErrNoConnection:
					require.ErrorIs(t, err, c.errs[n-1])
					require.False(t, errors.Is(err, kvdb.ErrUnknownOutcome) && errors.Is(err, kvdb.ErrNoConnection))
				}
			})
		})
	}
}

// A policy bounds a call and an attempt, unless the context ends earlier.
func TestLimits(t *testing.T) {
	const limit, attempt = 10 * time.Second, 3 * time.Second
	for name, c := range map[string]struct {
		policy   call.Policy
		kind     call.Kind
		deadline time.Duration // of the caller's
		took     time.Duration
		want     []error
		not      error
	}{
		"the limit of a call, once": {call.Policy{Limit: limit, AttemptTimeout: attempt}, call.Once, time.Minute, limit,
			[]error{kvdb.ErrUnknownOutcome, driver.ErrTimeLimit}, kvdb.ErrNoConnection},
		"the limit of a call": {call.Policy{Limit: limit, Retries: 99}, call.Repeatable, time.Minute, limit,
			[]error{kvdb.ErrNoConnection, driver.ErrTimeLimit}, kvdb.ErrUnknownOutcome},
		"the limit of its attempts": {call.Policy{Limit: limit, AttemptTimeout: attempt, Retries: 1}, call.Repeatable, time.Minute, 2*attempt + time.Second,
			[]error{kvdb.ErrNoConnection}, kvdb.ErrUnknownOutcome},
		"the caller's, once": {call.Policy{Limit: limit, AttemptTimeout: attempt}, call.Once, time.Second, time.Second,
			[]error{kvdb.ErrUnknownOutcome, context.DeadlineExceeded}, kvdb.ErrNoConnection},
		"the caller's": {call.Policy{Limit: limit, AttemptTimeout: attempt, Retries: 99}, call.Repeatable, time.Second, time.Second,
			[]error{context.DeadlineExceeded}, kvdb.ErrNoConnection},
		"no limit but the caller's": {call.Policy{Retries: 99}, call.Repeatable, time.Minute, time.Minute,
			[]error{context.DeadlineExceeded}, kvdb.ErrNoConnection},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.policy.Backoff = retry.Backoff{Min: time.Second, Max: time.Second}
				ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
				defer cancel()
				began := time.Now()
				err := c.policy.Do(ctx, c.kind, silent)
				require.InDelta(t, c.took, time.Since(began), float64(time.Second))
				for _, want := range c.want {
					require.ErrorIs(t, err, want)
				}
				require.NotErrorIs(t, err, c.not)
			})
		})
	}
}

// An answer that has begun is not bounded, unless the limit is for the whole answer.
func TestAnswerThatHasBegun(t *testing.T) {
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := call.Policy{AttemptTimeout: call.AttemptTimeout, Whole: whole}
			err := p.Do(t.Context(), call.Repeatable, func(ctx context.Context, begun func()) (fmt.Stringer, call.Fate, error) {
				begun()
				time.Sleep(2 * call.AttemptTimeout) // in the bubble
				return nil, call.Perhaps, ctx.Err()
			})
			if !whole {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
			require.ErrorIs(t, err, context.DeadlineExceeded, "the context that the client gets has a deadline")
		})
	}
}

// The next attempt is made at once if AtOnce returns true, because it asks another
// endpoint.
func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := call.Policy{
			Retries: 9, Backoff: retry.Backoff{Min: time.Hour, Max: time.Hour},
			AtOnce: func(attempts int, err error) bool { return attempts < 3 && err == errDown },
		}
		for _, c := range []struct {
			errs  []error
			waits int
		}{
			{[]error{errDown}, 0}, {[]error{errDown, errDown}, 0}, {[]error{errDown, errDown, errDown}, 1},
			{[]error{errSevered}, 1}, {[]error{errDown, errSevered, errDown}, 2},
		} {
			n, began := 0, time.Now()
			require.NoError(t, p.Do(t.Context(), call.Repeatable, sending(&n, c.errs...)))
			require.Equal(t, len(c.errs)+1, n)
			waited := time.Since(began)
			require.True(t, waited >= time.Duration(c.waits)*time.Hour/2 && waited <= time.Duration(c.waits)*time.Hour, waited)
		}
	})
}

// Nothing is sent after the end of the context, even if a client notices the deadline
// before the context ends.
func TestNothingIsSentAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := call.Policy{Retries: 9, AtOnce: func(int, error) bool { return true }}
		deadline := time.Now().Add(time.Second)
		ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(time.Millisecond))
		defer cancel()
		n := 0
		err := p.Do(lateContext{ctx, deadline}, call.Repeatable, func(context.Context, func()) (fmt.Stringer, call.Fate, error) {
			n++
			time.Sleep(time.Until(deadline)) // in the bubble
			return nil, call.NotRun, errDown
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, kvdb.ErrNoConnection)
		require.Equal(t, 1, n, "requests")
	})
}

// Nothing is sent before Ready returns nil. An error of Ready ends the call.
func TestReady(t *testing.T) {
	over := errors.New("over")
	var before []error
	p := call.Policy{Retries: 9, Ready: func(_ context.Context, err error) error {
		if before = append(before, err); len(before) == 4 {
			return over
		}
		return nil
	}}
	n := 0
	require.Equal(t, over, p.Do(t.Context(), call.Once, sending(&n, errDown, errDown, errDown)))
	require.Equal(t, []error{nil, errDown, errDown, errDown}, before)
	require.Equal(t, 3, n, "requests")
}
