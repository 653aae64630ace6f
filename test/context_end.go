package test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"time"

	"github.com/portworx/kvdb"
)

// harmless returns calls on kv, which may be a view of instance, that reach the store and
// change nothing outside of the domain: those of calls, and more. lock is the key of a lock.
func harmless(e *env, instance, kv kvdb.Kvdb, lock string) map[string]func() error {
	all := calls(kv)
	for _, call := range []string{"AddMember", "AddLearner", "SetEndpoints", "Lock", "LockWithID", "LockWithTimeout"} {
		delete(all, call)
	}
	maps.Copy(all, transactions(kv))
	const nobody = "kvdb-test-nobody"
	maps.Copy(all, map[string]func() error{
		"Put, TTL": func() error { _, err := kv.Put("ttl", "x", 60); return err },
		"Put, large": func() error {
			_, err := kv.Put("large", make([]byte, 64<<10), 0)
			return err
		},
		"DeleteTree":             func() error { return kv.DeleteTree("tree") }, // Consul has locks below ""
		"Snapshot, inconsistent": func() error { _, _, err := kv.Snapshot(nil, false); return err },
		"Lock and Unlock": func() error {
			pair, err := kv.LockWithTimeout(lock, "me", patience, 0)
			if err != nil {
				return err
			}
			// The lock must be released, so another Unlock has no time limit.
			defer func() { e.NoError(instance.Unlock(pair)) }()
			return kv.Unlock(pair)
		},
		"Lock, held":       func() error { _, err := kv.LockWithTimeout("held", "me", patience, 0); return err },
		"Lock, no wait":    func() error { _, err := kv.LockWithTimeout("held", "me", 0, 0); return err },
		"IsKeyLocked held": func() error { _, _, err := kv.IsKeyLocked("held"); return err },
		"RemoveUser":       func() error { return kv.RemoveUser(nobody) },
		"GrantUserAccess":  func() error { return kv.GrantUserAccess(nobody, kvdb.ReadPermission, "x") },
		"RevokeUsersAccess": func() error {
			return kv.RevokeUsersAccess(nobody, kvdb.ReadPermission, "x")
		},
		"Compact": func() error { return kv.Compact(1) },
	})
	if endpoints := instance.GetEndpoints(); len(endpoints) > 0 {
		all["Defragment"] = func() error { return kv.Defragment(endpoints[0], 1) }
	}
	return all
}

// transactions are calls that make and commit a transaction.
func transactions(kv kvdb.Kvdb) map[string]func() error {
	commit := func(f func(tx kvdb.Tx) error) func() error {
		return func() error {
			tx, err := kv.TxNew()
			if err != nil {
				return err
			}
			return errors.Join(f(tx), tx.Commit())
		}
	}
	return map[string]func() error{
		"Tx, write": commit(func(tx kvdb.Tx) error {
			_, err := tx.Put("key", "x", 0)
			return err
		}),
		"Tx, read": commit(func(tx kvdb.Tx) error {
			_, err := tx.Get("key")
			return err
		}),
		"Tx, both": commit(func(tx kvdb.Tx) error {
			_, getErr := tx.Get("key")
			_, err := tx.Put("key", "x", 0)
			return errors.Join(getErr, err)
		}),
	}
}

// answers are the errors of calls that were answered in time. A call about users may return
// others.
var answers = []error{
	kvdb.ErrNotFound, kvdb.ErrExist, kvdb.ErrModified, kvdb.ErrValueMismatch, kvdb.ErrUnmarshal,
	kvdb.ErrNotSupported, kvdb.ErrTTLNotSupported, kvdb.ErrInvalidLock, kvdb.ErrMemberDoesNotExist, kvdb.ErrTooLarge,
}

// If the context of a call ends meanwhile, by its deadline or by cancellation, the error
// wraps the context's error and its cause, and not that the store cannot be reached. The
// instance does not leave the endpoint because of it.
func contextEndsInTheMiddle(e *env) {
	kv := e.kv
	if silent := e.silentEndpoint(); silent != "" {
		e.others = []string{silent}
		kv = e.open(e.domain)
		e.others = nil
	}
	holder := e.peer()
	held := e.lock(holder, "held", "other")
	reason := errors.New("the caller's reason")
	for i, after := range []time.Duration{
		0, 50 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	} {
		for kind, end := range map[string]func() (context.Context, context.CancelFunc){
			"deadline": func() (context.Context, context.CancelFunc) { return context.WithTimeout(e.t.Context(), after) },
			"deadline with a cause": func() (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(e.t.Context(), after, reason)
			},
			"cancellation with a cause": func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(e.t.Context())
				timer := time.AfterFunc(after, func() { cancel(reason) })
				return ctx, func() { timer.Stop(); cancel(nil) }
			},
		} {
			for call := range harmless(e, kv, kv, "") {
				ctx, cancel := end()
				err := harmless(e, kv, kvdb.WithContext(ctx, kv), fmt.Sprint("lock/", i, kind))[call]()
				e.endedBy(ctx, err, "%s, %s after %v", call, kind, after)
				cancel()
			}
		}
	}
	began := time.Now()
	_, err := kv.Put("key", "value", 0)
	e.NoError(err)
	_, err = kv.Get("key")
	e.NoError(err)
	e.Less(time.Since(began), 2*time.Second, "the time of a call; the instance must stay with the endpoint that answers")
	e.unlock(holder, held)
}

// endedBy asserts that err is of a call that ctx may have ended.
func (e *env) endedBy(ctx context.Context, err error, format string, args ...interface{}) {
	e.t.Helper()
	what := fmt.Sprintf(format, args...)
	e.NotErrorIs(err, kvdb.ErrNoConnection, what)
	if err == nil || errors.Is(err, context.Cause(ctx)) && errors.Is(err, ctx.Err()) {
		return
	}
	e.NotErrorIs(err, kvdb.ErrUnknownOutcome, what)
	for _, answer := range answers {
		if errors.Is(err, answer) {
			return
		}
	}
	e.Failf("errors.Is must find the context's error", "%s returned %v", what, err)
}

// silentEndpoint returns an endpoint that accepts connections and never answers, in the form
// of the harness's endpoints, or "" if there are none.
func (e *env) silentEndpoint() string {
	e.t.Helper()
	if len(e.suite.Endpoints) == 0 || !e.traits.Endpoints {
		return ""
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	e.NoError(err)
	e.t.Cleanup(func() { e.NoError(listener.Close()) })
	endpoint := listener.Addr().String()
	if u, err := url.Parse(e.suite.Endpoints[0]); err == nil && u.Host != "" {
		u.Host = endpoint
		endpoint = u.String()
	}
	return endpoint
}
