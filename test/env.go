package test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// patience is how long a case waits for something that must happen.
const patience = 30 * time.Second

// env is what a case works with.
type env struct {
	*require.Assertions
	t      *testing.T
	suite  *suite
	traits Traits
	domain string
	kv     kvdb.Kvdb // an instance with that domain
	first  int       // the endpoint that instances opened from now on get first
	others []string  // endpoints that instances opened from now on get last

	instances   []kvdb.Kvdb // to be closed at the end
	recorders   []*recorder // of their watches
	exceptions  []string
	unsupported bool

	mu       sync.Mutex // protects the fields below
	fatals   []string   // fatal callbacks that no case expected
	cleaning bool       // finish removes what is left of the case
}

func newEnv(t *testing.T, s *suite) *env {
	e := &env{Assertions: require.New(t), t: t, suite: s, traits: s.Traits}
	e.domain = "kvdb-test/" + rand.Text()
	e.kv = e.open(e.domain)
	return e
}

// open returns an instance on the harness's store that the end of the case
// closes. No fatal callback must be called on it.
func (e *env) open(domain string) kvdb.Kvdb {
	return e.openWith(domain, nil, func(err error, format string, args ...interface{}) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.cleaning && e.traits.LockSharesKey && errors.Is(err, kvdb.ErrLockRefreshFailed) {
			return // the lock is among what finish removes
		}
		e.fatals = append(e.fatals, fmt.Sprintf("%v: "+format, append([]interface{}{err}, args...)...))
	})
}

func (e *env) openWith(domain string, options map[string]string, cb kvdb.FatalErrorCB) kvdb.Kvdb {
	e.t.Helper()
	kv, err := e.tryOpen(domain, options, cb)
	e.NoError(err)
	e.instances = append(e.instances, kv)
	return kv
}

// tryOpen is openWith for an Init that may fail.
func (e *env) tryOpen(domain string, options map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	all := e.options(options)
	endpoints := e.suite.Endpoints
	if len(endpoints) > 0 {
		n := e.first % len(endpoints)
		endpoints = slices.Concat(endpoints[n:], endpoints[:n], e.others)
	}
	kv, err := e.suite.Init(domain, endpoints, all, cb)
	if err != nil {
		return nil, err
	}
	for _, wrapper := range e.suite.wrappers {
		if kv, err = kvdb.AddWrapper(wrapper, kv, all); err != nil {
			return nil, errors.Join(err, kvdb.Close(kv))
		}
	}
	return kv, nil
}

// options are the harness's and more. A harness without has nil.
func (e *env) options(more map[string]string) map[string]string {
	all := maps.Clone(e.suite.Options)
	if len(e.suite.wrappers) > 0 || len(more) > 0 {
		if all == nil {
			all = map[string]string{}
		}
		all[kvdb.LogPathOption] = filepath.Join(e.t.TempDir(), "kvdb.log")
		maps.Copy(all, more)
	}
	return all
}

// peer is another instance with the case's domain, or the same one where each
// instance is a store of its own.
func (e *env) peer() kvdb.Kvdb {
	if e.traits.PrivateStore {
		return e.kv
	}
	return e.open(e.domain)
}

// close closes an instance before the end of the case.
func (e *env) close(kv kvdb.Kvdb) {
	e.t.Helper()
	e.instances = slices.DeleteFunc(e.instances, func(other kvdb.Kvdb) bool { return other == kv })
	e.NoError(kvdb.Close(kv))
}

// finish closes what is open, and asserts what holds at the end of every case.
func (e *env) finish() {
	for i, kv := range slices.Backward(e.instances) {
		if i == 0 && !e.traits.PrivateStore {
			e.mu.Lock()
			e.cleaning = true
			e.mu.Unlock()
			if err := kv.DeleteTree(""); err != nil {
				e.t.Logf("what is left of the case stays: %v", err)
			}
		}
		if err := kvdb.Close(kv); err != nil {
			e.t.Errorf("close: %v", err)
		}
	}
	for _, r := range e.recorders {
		r.finish()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, fatal := range e.fatals {
		e.t.Errorf("unexpected call of the fatal callback: %s", fatal)
	}
}

// except notes an exception to the rule that the case asserts, for the report.
func (e *env) except(format string, args ...interface{}) {
	e.exceptions = append(e.exceptions, fmt.Sprintf(format, args...))
}

// NoError asserts that there is none. Of ErrNotSupported it says what to declare.
func (e *env) NoError(err error, args ...interface{}) {
	e.t.Helper()
	if err == kvdb.ErrNotSupported && len(args) == 0 {
		args = []interface{}{"a call that the suite's rule needs is not supported: declare in Harness.Traits what the store does not have, " +
			"as NoLocks, NoWatches, NoSnapshots, NoTx"}
	}
	e.Assertions.NoError(err, args...)
}

// is asserts that err is want itself, as programs compare it.
func (e *env) is(want, err error) {
	e.t.Helper()
	e.True(err == want, "the error must be %q itself, not %v", want, err)
}

// put writes a value that must be written.
func (e *env) put(key string, value interface{}) *kvdb.KVPair {
	e.t.Helper()
	pair, err := e.kv.Put(key, value, 0)
	e.NoError(err)
	return pair
}

// index is the index of a write made now.
func (e *env) index() uint64 {
	e.t.Helper()
	return e.put("before", "value").ModifiedIndex
}

// holds asserts the value at key, and returns its pair.
func (e *env) holds(key, value string) *kvdb.KVPair {
	e.t.Helper()
	pair, err := e.kv.Get(key)
	e.NoError(err)
	e.Equal(value, string(pair.Value), "the value at %q", key)
	return pair
}

// missing asserts that there is no key.
func (e *env) missing(keys ...string) {
	e.t.Helper()
	for _, key := range keys {
		_, err := e.kv.Get(key)
		e.is(kvdb.ErrNotFound, err)
	}
}

// enumerate returns the keys below prefix.
func (e *env) enumerate(prefix string) []string {
	e.t.Helper()
	pairs, err := e.kv.Enumerate(prefix)
	e.NoError(err)
	return keysOf(pairs)
}

func keysOf(pairs kvdb.KVPairs) []string {
	keys := []string{}
	for _, pair := range pairs {
		keys = append(keys, pair.Key)
	}
	return keys
}

// concurrently calls f with 0 to n-1 at the same time, and returns the errors
// in that order.
func concurrently(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var running sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		running.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	running.Wait()
	return errs
}

// concurrently is the function of that name, where all must succeed.
func (e *env) concurrently(n int, f func(i int) error) {
	e.t.Helper()
	for _, err := range concurrently(n, f) {
		e.NoError(err)
	}
}

// during calls body at least rounds times while another goroutine calls other
// again and again, and goes on until that was done a few times as well.
func (e *env) during(other func(i int) error, rounds int, body func(i int)) {
	e.t.Helper()
	const enough = 10
	ctx, cancel := context.WithCancel(e.t.Context())
	defer cancel()
	var calls atomic.Int64
	ended := make(chan error, 1)
	go func() {
		var err error
		for i := 0; ctx.Err() == nil && err == nil; i++ {
			err = other(i)
			calls.Add(1)
		}
		ended <- err
	}()
	deadline := time.Now().Add(patience)
	for i := 0; i < rounds || calls.Load() < enough && time.Now().Before(deadline); i++ {
		body(i)
	}
	cancel()
	e.NoError(wait(e, ended, "the other goroutine"))
	e.GreaterOrEqual(calls.Load(), int64(enough), "calls of the other goroutine")
}

// eventually waits until condition holds that no event tells of.
func (e *env) eventually(condition func() bool, what string) {
	e.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-ticker.C {
		e.True(time.Now().Before(deadline), what)
	}
}

// wait waits for a channel to be closed, or for its next element.
func wait[T any](e *env, c <-chan T, what string) T {
	e.t.Helper()
	return waitFor(e, c, patience, what)
}

func waitFor[T any](e *env, c <-chan T, limit time.Duration, what string) T {
	e.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		e.FailNow("waited in vain for "+what, "%v", limit)
		panic("not reached")
	}
}

// goroutines is the number of those that are not of servers in this process,
// whose connections to each other come and go.
func goroutines() int {
	stacks := make([]byte, 1<<20)
	for {
		if n := runtime.Stack(stacks, true); n < len(stacks) {
			stacks = stacks[:n]
			break
		}
		stacks = make([]byte, 2*len(stacks))
	}
	n := 0
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if !strings.Contains(stack, "/test/servers.") {
			n++
		}
	}
	return n
}
