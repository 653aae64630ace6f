package test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/election"
)

var electionGroup = group{name: "Election", calls: "election.Run, Observe, Current", needs: []*part{lockPart}, cases: []testCase{
	{name: "OneLeader", run: electionOneLeader},
	{name: "Ends", run: electionEnds},
	{name: "CloseEndsLeadership", run: electionCloseEndsLeadership},
	{name: "Observe", run: electionObserve},
}}

// terms counts the leaders of an election.
type terms struct {
	leading atomic.Int32

	mu     sync.Mutex // protects the fields below
	last   election.Term
	number int
	wrong  error
}

// begin records that a term begins. It returns an error if there is another leader, or if the
// token is not larger than all before.
func (l *terms) begin(term election.Term) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.leading.Add(1); n != 1 {
		l.wrong = fmt.Errorf("%d candidates lead", n)
	}
	if term.Token <= l.last.Token {
		l.wrong = fmt.Errorf("token %d of %s after token %d of %s", term.Token, term.ID, l.last.Token, l.last.ID)
	}
	l.last = term
	l.number++
	return l.wrong
}

// end records that a term ends.
func (l *terms) end() { l.leading.Add(-1) }

// sound asserts that begin has returned no error, and returns the number of terms.
func (l *terms) sound(e *env) int {
	e.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	e.NoError(l.wrong, "one candidate leads at a time, and the tokens of later leaders are larger")
	return l.number
}

// Of many candidates on several instances one leads at a time, and its token is larger than
// that of each earlier leader. The leader can guard a transaction with its lock.
func electionOneLeader(e *env) {
	const candidates, rounds = 6, 3
	kvs := []kvdb.Kvdb{e.kv, e.peer(), e.peer()}
	var all terms
	e.concurrently(candidates, func(i int) error {
		kv := kvs[i%len(kvs)]
		for range rounds {
			err := election.Run(e.t.Context(), kv, "dir/key", fmt.Sprint("candidate ", i), func(ctx context.Context, term election.Term) error {
				defer all.end()
				if err := all.begin(term); err != nil {
					return err
				}
				for range 2 * candidates { // gives the others the time to break the rule
					runtime.Gosched()
				}
				if e.traits.NoTx || e.traits.SingleKeyTx {
					return ctx.Err()
				}
				tx, err := kvdb.WithContext(ctx, kv).TxNew()
				if err != nil {
					return err
				}
				if _, err = tx.Put("guarded", term.ID, 0); err != nil {
					return err
				}
				return errors.Join(kvdb.TxGuard(tx, term.Lock), tx.Commit())
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	e.Equal(candidates*rounds, all.sound(e), "the number of terms")
	e.isLocked("dir/key", "")
	e.ledBy(election.Leader{})
	e.NotContains(fmt.Sprint(e.enumerate("dir/")), "key", "the election's keys must not show up in Enumerate")
}

// ledBy asserts who leads in the election at dir/key.
func (e *env) ledBy(want election.Leader) {
	e.t.Helper()
	leader, err := election.Current(e.kv, "dir/key")
	e.NoError(err)
	e.Equal(want, leader)
}

// A leader that returns, fails, panics or whose caller gives up releases the lock, and nobody
// leads then.
func electionEnds(e *env) {
	ctx, cancel := context.WithCancelCause(e.t.Context())
	lead := func(ctx context.Context, f func(context.Context) error) (err error) {
		defer func() {
			if recovered := recover(); recovered != nil {
				err = fmt.Errorf("panic: %v", recovered)
			}
		}()
		return election.Run(ctx, e.kv, "dir/key", "me", func(ctx context.Context, term election.Term) error {
			e.isLocked("dir/key", "me")
			e.ledBy(term.Leader)
			return f(ctx)
		})
	}
	for _, end := range []struct {
		how  string
		lead func(context.Context) error
		want []string
	}{
		{"returns", func(context.Context) error { return nil }, nil},
		{"fails", func(context.Context) error { return errEnough }, []string{errEnough.Error()}},
		{"panics", func(context.Context) error { panic("boom") }, []string{"panic: boom"}},
		{"is cancelled", func(ctx context.Context) error {
			cancel(errors.New("going down"))
			<-ctx.Done()
			return fmt.Errorf("%w: while leading", context.Cause(ctx))
		}, []string{"going down", "while leading", context.Canceled.Error()}},
		{"was cancelled before", nil, []string{"going down", context.Canceled.Error()}},
	} {
		err := lead(ctx, end.lead)
		if end.want == nil {
			e.NoError(err, "a leader that %s", end.how)
		}
		for _, text := range end.want {
			e.ErrorContains(err, text, "a leader that %s", end.how)
		}
		e.isLocked("dir/key", "")
		e.ledBy(election.Leader{})
	}
	e.ErrorIs(election.Run(e.t.Context(), e.kv, "dir/key", "", nil), kvdb.ErrIllegal, "a candidate without an ID")
}

// Close of the leader's instance ends the context of the leader before another one leads.
func electionCloseEndsLeadership(e *env) {
	kv, next := e.open(e.domain), e.peer()
	led, ended, result := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	var first election.Term
	go func() {
		result <- election.Run(e.t.Context(), kv, "dir/key", "first", func(ctx context.Context, term election.Term) error {
			first = term
			close(led)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil
		})
	}()
	wait(e, led, "the first candidate leads")
	e.close(kv)
	e.is(election.ErrLost, wait(e, ended, "the leader's context ends"))
	e.is(kvdb.ErrClosed, wait(e, result, "Run returns after Close"))
	if e.traits.PrivateStore {
		return
	}
	e.NoError(election.Run(e.t.Context(), next, "dir/key", "second", func(_ context.Context, term election.Term) error {
		e.Greater(term.Token, first.Token)
		return nil
	}))
}

// observe returns a function that returns the next leader, or the next error, of an
// observation, which ends with the case.
func (e *env) observe(kv kvdb.Kvdb) func(limit time.Duration) (election.Leader, error) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(e.t.Context())
	type change struct {
		leader election.Leader
		err    error
	}
	changes, over := make(chan change, 1000), make(chan struct{})
	go func() {
		defer close(over)
		forward(election.Observe(ctx, kv, "dir/key"), func(leader election.Leader, err error) { changes <- change{leader, err} })
	}()
	e.t.Cleanup(func() { cancel(); <-over })
	return func(limit time.Duration) (election.Leader, error) {
		e.t.Helper()
		c := waitFor(e, changes, limit, "Observe tells a change")
		return c.leader, c.err
	}
}

// forward calls f with everything that an iterator yields.
func forward(changes iter.Seq2[election.Leader, error], f func(election.Leader, error)) {
	for leader, err := range changes {
		f(leader, err)
	}
}

// Observe tells each leader and each resignation, in order and without a delay.
func electionObserve(e *env) {
	const changes = 5
	next := e.observe(e.peer())
	leader, err := next(patience)
	e.NoError(err)
	e.Zero(leader, "nobody leads in the beginning")
	began := time.Now()
	for i := range changes {
		e.NoError(election.Run(e.t.Context(), e.kv, "dir/key", fmt.Sprint(i), func(_ context.Context, term election.Term) error {
			leader, err := next(patience)
			e.NoError(err)
			e.Equal(term.Leader, leader)
			return nil
		}))
		leader, err := next(patience)
		e.NoError(err)
		e.Zero(leader, "the leader has resigned")
	}
	if !e.traits.NoWatches {
		e.Less(time.Since(began), changes*time.Second, "the time of %d terms; a watch must tell a change without polling", changes)
	}
	lock := e.lock(e.kv, "dir/key", fmt.Sprint(changes-1)) // does not lead
	e.ledBy(election.Leader{})
	e.NoError(e.kv.Unlock(lock))
}

// During an outage that is longer than a lock lives, the leader's context ends, and afterwards
// there is a new leader. Never do two candidates lead. Observe says when it is not known who
// leads. The fatal callback is not called.
func outageElection(f fault) func(e *env) {
	return func(e *env) {
		ctx, cancel := context.WithCancel(e.t.Context())
		var all terms
		type event struct {
			term election.Term
			end  error // the cause of the end of the context
		}
		events, stopped := make(chan event, 1000), make(chan error, 3)
		for i := range cap(stopped) {
			kv := e.peer()
			go func() {
				stopped <- election.Run(ctx, kv, "dir/key", fmt.Sprint("candidate ", i), func(ctx context.Context, term election.Term) error {
					if err := all.begin(term); err != nil {
						return err
					}
					events <- event{term: term}
					<-ctx.Done()
					all.end()
					events <- event{term, context.Cause(ctx)}
					return nil
				})
			}()
		}
		next := e.observe(e.kv)
		first := waitFor(e, events, patience, "a candidate leads")
		leader, err := next(patience)
		if leader == (election.Leader{}) {
			leader, err = next(patience) // it did not lead in the beginning
		}
		e.NoError(err)
		e.Equal(first.term.Leader, leader)
		end := e.strike(f, e.everyMember()...)
		lost := waitFor(e, events, deathLimit+patience, "the leader's context ends")
		e.is(election.ErrLost, lost.end)
		_, err = next(patience)
		e.ErrorIs(err, kvdb.ErrNoConnection, "Observe must say that it does not know who leads")
		end()
		e.recovers()
		second := waitFor(e, events, deathLimit+recovery, "a candidate leads after the outage")
		for leader != second.term.Leader {
			leader, err = next(recovery)
			e.NoError(err)
		}
		cancel()
		for range cap(stopped) {
			e.ErrorIs(waitFor(e, stopped, patience, "Run returns when its context has ended"), context.Canceled)
		}
		e.Equal(2, all.sound(e), "the number of terms")
	}
}
