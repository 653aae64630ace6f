package consul

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

func lost(pair *kvdb.KVPair) <-chan struct{} { return pair.Lock.(kvdb.HeldLock).Lost() }

func notLost(t *testing.T, pair *kvdb.KVPair) {
	t.Helper()
	select {
	case <-lost(pair):
		require.Fail(t, "the lock is lost")
	default:
	}
}

// A key cannot hold a value and a lock at the same time.
func TestLockAndValueExclude(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	kv := open(t, "locks", cluster.Endpoints(), nil)
	other := open(t, "locks", cluster.Endpoints(), nil)
	pair, err := kv.LockWithID("key", "me")
	require.NoError(t, err)
	for _, kv := range []kvdb.Kvdb{kv, other} {
		for call, f := range map[string]struct {
			call func() error
			want error
		}{
			"Get":          {func() error { _, err := kv.Get("key"); return err }, kvdb.ErrNotFound},
			"Put":          {func() error { _, err := kv.Put("key", "x", 0); return err }, kvdb.ErrInvalidLock},
			"Put with TTL": {func() error { _, err := kv.Put("key", "x", 60); return err }, kvdb.ErrInvalidLock},
			"Create":       {func() error { _, err := kv.Create("key", "x", 0); return err }, kvdb.ErrInvalidLock},
			"Update":       {func() error { _, err := kv.Update("key", "x", 0); return err }, kvdb.ErrNotFound},
			"Delete":       {func() error { _, err := kv.Delete("key"); return err }, kvdb.ErrNotFound},
			"Tx": {func() error {
				tx, err := kv.TxNew()
				require.NoError(t, err)
				_, err = tx.Put("key", "x", 0)
				require.NoError(t, err)
				return tx.Commit()
			}, kvdb.ErrInvalidLock},
		} {
			require.Equal(t, f.want, f.call(), call)
		}
	}
	// There is no value, so a transaction that has read none may commit.
	tx, err := other.TxNew()
	require.NoError(t, err)
	_, err = tx.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err)
	_, err = tx.Put("elsewhere", "x", 0)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	tx, err = other.TxNew()
	require.NoError(t, err)
	_, err = tx.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err)
	_, err = tx.Put("key", "x", 0)
	require.NoError(t, err)
	require.Equal(t, kvdb.ErrInvalidLock, tx.Commit())
	notLost(t, pair)
	locked, owner, err := other.IsKeyLocked("key")
	require.NoError(t, err)
	require.True(t, locked)
	require.Equal(t, "me", owner)
	require.NoError(t, kv.Unlock(pair))

	_, err = kv.Put("key", "value", 60)
	require.NoError(t, err)
	_, err = kv.LockWithTimeout("key", "me", 0, 0)
	require.Equal(t, kvdb.ErrInvalidLock, err)
	_, _, err = kv.IsKeyLocked("key")
	require.Equal(t, kvdb.ErrInvalidLock, err)
}

// When Consul is busy, the holder of a lock and a waiter retry with a backoff, and the lock
// is not lost.
func TestLocksOfABusyServer(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	holder := open(t, "locks", []string{o.URL}, nil)
	waiter := open(t, "locks", []string{o.URL}, nil)
	held, err := holder.LockWithID("key", "holder")
	require.NoError(t, err)
	var refused atomic.Int32
	o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("index") {
			return false
		}
		refused.Add(1)
		answer(w, r, http.StatusTooManyRequests, "rate limit exceeded")
		return true
	})
	obtained := make(chan error, 1)
	var next *kvdb.KVPair
	began := time.Now()
	go func() {
		var err error
		next, err = waiter.LockWithTimeout("key", "waiter", await, 0)
		obtained <- err
	}()
	eventually(t, "the requests are not retried", func() bool { return refused.Load() > 12 })
	require.Greater(t, time.Since(began), 500*time.Millisecond, "retried without a pause")
	o.intercept(nil)
	notLost(t, held)
	require.NoError(t, holder.Unlock(held))
	require.NoError(t, receive(t, obtained, "the lock that was released"))
	require.NoError(t, waiter.Unlock(next))
}

// A lock is lost at once when its key is removed or its session has ended.
func TestLostByForce(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "locks", cluster.Endpoints(), nil)
	for _, force := range []func(held *api.KVPair) error{
		func(held *api.KVPair) error { _, err := client.KV().Delete(held.Key, nil); return err },
		func(held *api.KVPair) error { _, err := client.Session().Destroy(held.Session, nil); return err },
		func(held *api.KVPair) error {
			_, _, err := client.KV().Release(held, nil)
			return err
		},
	} {
		pair, err := kv.Lock("key")
		require.NoError(t, err)
		other, err := kv.Lock("other")
		require.NoError(t, err)
		held, _, err := client.KV().Get("locks/key", nil)
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, force(held))
		receive(t, lost(pair), "the loss of the lock")
		require.Less(t, time.Since(began), 5*time.Second)
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
		_ = kv.Unlock(other)
		_, err = client.KV().DeleteTree("locks/", nil)
		require.NoError(t, err)
	}
	// A write to the key does not take the lock.
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	_, err = client.KV().Put(&api.KVPair{Key: "locks/key", Value: []byte("scribble"), Flags: api.LockFlagValue}, nil)
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	require.NoError(t, kvdb.TxGuard(tx, pair))
	_, err = tx.Put("guarded", "value", 0)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	require.NoError(t, kv.Unlock(pair))
	notLost(t, pair)
}

// A request for a lock that gets no answer leaves no lock behind, even when it runs late.
func TestLockOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "locks", []string{o.URL}, nil)
	other := open(t, "locks", cluster.Endpoints(), nil)
	held, err := kv.Lock("held") // keeps the session alive
	require.NoError(t, err)
	for _, late := range []bool{false, true} {
		delayed := make(chan struct{})
		o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/txn" {
				return false
			}
			o.intercept(nil)
			if late {
				body, _ := io.ReadAll(r.Body)
				time.AfterFunc(300*time.Millisecond, func() {
					defer close(delayed)
					request, err := http.NewRequest(r.Method, cluster.All()[0].Direct()+r.URL.Path, bytes.NewReader(body))
					if err == nil {
						var reply *http.Response
						if reply, err = http.DefaultClient.Do(request); err == nil {
							_ = reply.Body.Close()
						}
					}
				})
			} else {
				o.proxy.ServeHTTP(discard{http.Header{}}, r)
				close(delayed)
			}
			sever(w)
			return true
		})
		_, err := kv.LockWithTimeout("key", "me", 0, 0)
		require.ErrorIs(t, err, kvdb.ErrNoConnection)
		receive(t, delayed, "the request that was delayed")
		pair, err := other.LockWithTimeout("key", "other", await, 0)
		require.NoError(t, err)
		require.NoError(t, other.Unlock(pair))
		pair, err = kv.LockWithTimeout("key", "me", await, 0)
		require.NoError(t, err)
		require.NoError(t, kv.Unlock(pair))
	}
	http.DefaultClient.CloseIdleConnections()
	notLost(t, held)
	require.NoError(t, kv.Unlock(held))
}

// Lock tries again when connections are lost, until its try duration is over. Locks that the
// lost requests have obtained are released.
func TestLockRetries(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "locks", []string{o.URL}, nil)
	other := open(t, "locks", cluster.Endpoints(), nil)
	const losses = 6
	var lost atomic.Int32
	lose := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/txn" {
			return false
		}
		n := lost.Add(1)
		if n > losses {
			return false
		}
		if n%2 == 0 {
			o.proxy.ServeHTTP(discard{http.Header{}}, r)
		}
		sever(w)
		return true
	}
	for _, held := range []bool{false, true} {
		if held {
			pair, err := other.Lock("key")
			require.NoError(t, err)
			time.AfterFunc(time.Second, func() { _ = other.Unlock(pair) })
		}
		lost.Store(0)
		o.intercept(lose)
		pair, err := kv.LockWithTimeout("key", "me", await, 0)
		require.NoError(t, err)
		require.Greater(t, lost.Load(), int32(losses))
		o.intercept(nil)
		_, err = other.LockWithTimeout("key", "other", time.Second, 0)
		require.ErrorIs(t, err, kvdb.ErrExist)
		notLost(t, pair)
		require.NoError(t, kv.Unlock(pair))
		pair, err = other.LockWithTimeout("key", "other", 5*time.Second, 0)
		require.NoError(t, err)
		require.NoError(t, other.Unlock(pair))
	}
	// The try duration ends before the connection is back.
	require.NoError(t, cluster.All()[0].Clients().Cut())
	_, err := kv.LockWithTimeout("key", "me", time.Second, 0)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.NoError(t, cluster.All()[0].Clients().Heal())
}

// Lock does not try again when a time limit of the library is over.
func TestLockWithinTimeLimit(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	s := storeOf(t, cluster)
	require.NoError(t, cluster.All()[0].Clients().Cut())
	ctx, cancel := driver.WithTimeLimit(t.Context(), 100*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	const wait = 2 * time.Second
	began := time.Now()
	go func() {
		_, err := s.Lock(ctx, "key", "me", wait)
		ended <- err
	}()
	require.ErrorIs(t, receive(t, ended, "the end of the call"), kvdb.ErrNoConnection)
	require.Less(t, time.Since(began), wait)
	require.NoError(t, cluster.All()[0].Clients().Heal())
}

// The locks of an instance survive the failure of leaders.
func TestLocksSurviveLeaderChange(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{Members: 3})
	kv := open(t, "locks", cluster.Endpoints(), nil)
	other := open(t, "locks", cluster.Endpoints(), nil)
	var pairs []*kvdb.KVPair
	for i := range 20 {
		pair, err := kv.Lock(fmt.Sprint(i))
		require.NoError(t, err)
		pairs = append(pairs, pair)
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), await)
		leader, err := cluster.Leader(ctx)
		require.NoError(t, err)
		require.NoError(t, leader.Kill())
		_, err = cluster.Leader(ctx)
		require.NoError(t, err)
		eventually(t, "nothing can be written", func() bool { _, err := kv.Put("value", "x", 0); return err == nil })
		require.NoError(t, leader.Start())
		cancel()
	}
	for i, pair := range pairs {
		notLost(t, pair)
		_, err := other.LockWithTimeout(fmt.Sprint(i), "other", 0, 0)
		require.ErrorIs(t, err, kvdb.ErrExist)
		require.NoError(t, kv.Unlock(pair))
	}
}

// An Unlock that Consul refuses is retried with a backoff.
func TestUnlockRefused(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "locks", []string{o.URL}, nil)
	other := open(t, "locks", cluster.Endpoints(), nil)
	lock, err := kv.Lock("key")
	require.NoError(t, err)
	var refused atomic.Int32
	o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/txn" {
			return false
		}
		refused.Add(1)
		answer(w, r, http.StatusForbidden, "ACL not found")
		return true
	})
	began := time.Now()
	require.ErrorContains(t, kv.Unlock(lock), "ACL not found")
	eventually(t, "Unlock is not retried", func() bool { return refused.Load() > 6 })
	require.Greater(t, time.Since(began), 500*time.Millisecond, "retried without a pause")
	o.intercept(nil)
	lock, err = other.LockWithTimeout("key", "other", await, 0)
	require.NoError(t, err)
	require.NoError(t, other.Unlock(lock))
}

// A lock that was unlocked during an outage is free soon after its end.
func TestUnlockDuringOutage(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	kv := open(t, "locks", cluster.Endpoints(), nil)
	other := open(t, "locks", []string{cluster.All()[0].Direct()}, nil)
	keep, err := kv.Lock("keep")
	require.NoError(t, err)
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	link := cluster.All()[0].Clients()
	require.NoError(t, link.Cut())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorIs(t, kvdb.WithContext(ctx, kv).Unlock(pair), context.DeadlineExceeded)
	require.NoError(t, link.Heal())
	next, err := other.LockWithTimeout("key", "next", 5*time.Second, 0)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(pair), "the second Unlock")
	notLost(t, keep)
	locked, owner, err := other.IsKeyLocked("key")
	require.NoError(t, err)
	require.True(t, locked)
	require.Equal(t, "next", owner)
	require.NoError(t, other.Unlock(next))
}
