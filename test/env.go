package test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
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

// env is the environment of a case: an instance, assertions and helpers.
type env struct {
	*require.Assertions
	t      *testing.T
	suite  *suite
	traits Traits
	domain string
	kv     kvdb.Kvdb // an instance with that domain
	first  int       // the index of the endpoint that the next instances get first
	others []string  // more endpoints, which the next instances get last

	instances   []kvdb.Kvdb // to be closed at the end
	recorders   []*recorder // of their watches
	exceptions  []string
	unsupported bool

	mu       sync.Mutex // protects the fields below
	fatals   []string   // fatal callbacks that no case expected
	cleaning bool       // finish is deleting the keys of the case
}

func newEnv(t *testing.T, s *suite) *env {
	e := &env{Assertions: require.New(t), t: t, suite: s, traits: s.Traits}
	// The goroutines that the case starts have its label, see goroutines.
	pprof.SetGoroutineLabels(pprof.WithLabels(t.Context(), pprof.Labels("case", t.Name())))
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
			return // finish has deleted the lock's key
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

// options returns the options of the harness and more, or nil if there are none.
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

// peer returns another instance with the case's domain, or the same one if each instance
// is a store of its own.
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
				e.t.Logf("the keys of the case are not deleted: %v", err)
			}
		}
		if err := kvdb.Close(kv); err != nil {
			e.t.Errorf("kvdb.Close at the end of the case returned %v", err)
		}
	}
	for _, r := range e.recorders {
		r.finish()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, fatal := range e.fatals {
		e.t.Errorf("the fatal callback was called, although no lock was lost or held for too long: %s", fatal)
	}
}

// except records an exception to the rule, which the case asserts, for the report.
func (e *env) except(format string, args ...interface{}) {
	e.exceptions = append(e.exceptions, fmt.Sprintf(format, args...))
}

// NoError asserts that err is nil. If it is ErrNotSupported, the message says what to
// declare.
func (e *env) NoError(err error, args ...interface{}) {
	e.t.Helper()
	if err == kvdb.ErrNotSupported && len(args) == 0 {
		args = []interface{}{"a call that the case needs is not supported: implement it, or declare in Harness.Traits what the store " +
			"does not have, for example NoLocks, NoWatches, NoSnapshots or NoTx"}
	}
	e.Assertions.NoError(err, args...)
}

// is asserts that err is want itself, because programs compare errors with ==.
func (e *env) is(want, err error) {
	e.t.Helper()
	e.True(err == want, "the error must be %q itself (programs compare it with ==), not %v", want, err)
}

// put writes a value, and asserts that this succeeds.
func (e *env) put(key string, value interface{}) *kvdb.KVPair {
	e.t.Helper()
	pair, err := e.kv.Put(key, value, 0)
	e.NoError(err)
	return pair
}

// index writes a key and returns the index of the write.
func (e *env) index() uint64 {
	e.t.Helper()
	return e.put("before", "value").ModifiedIndex
}

// holds asserts that key has the value, and returns the pair.
func (e *env) holds(key, value string) *kvdb.KVPair {
	e.t.Helper()
	pair, err := e.kv.Get(key)
	e.NoError(err)
	e.Equal(value, string(pair.Value), "the value at %q", key)
	return pair
}

// missing asserts that none of the keys exists.
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

// concurrently calls f with 0 to n-1 at the same time, and asserts that all calls succeed.
func (e *env) concurrently(n int, f func(i int) error) {
	e.t.Helper()
	for _, err := range concurrently(n, f) {
		e.NoError(err)
	}
}

// during calls body at least rounds times while another goroutine calls other repeatedly.
// It continues until other was called a few times too.
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

// eventually polls until condition holds. It is for conditions without an event to wait on.
// what says what must become true.
func (e *env) eventually(condition func() bool, what string) {
	e.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-ticker.C {
		e.True(time.Now().Before(deadline), "not within %v: %s", patience, what)
	}
}

// wait waits until a channel is closed or has an element. what says what must happen.
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
		e.FailNow(fmt.Sprintf("not within %v: %s", limit, what))
		panic("not reached")
	}
}

// labeled matches a part of a profile of goroutines: their number and labels.
var labeled = regexp.MustCompile(`(?m)^(\d+) @.*\n# labels: (.*)$`)

// goroutines returns the number of goroutines of the case, also of those that others of them
// have started. Other tests of the process do not count.
func (e *env) goroutines() (n int) {
	e.t.Helper()
	var profile bytes.Buffer
	e.NoError(pprof.Lookup("goroutine").WriteTo(&profile, 1))
	for _, found := range labeled.FindAllStringSubmatch(profile.String(), -1) {
		if strings.Contains(found[2], strconv.Quote(e.t.Name())) {
			same, err := strconv.Atoi(found[1])
			e.NoError(err)
			n += same
		}
	}
	e.Positive(n, "the goroutine of the case itself")
	return n
}
