package consul

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Two calls of one instance request a lock at the same time. When the outcome of one is not
// known, the other keeps the lock that it has obtained.
func TestTwoRequestsForALock(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "locks", []string{o.URL}, nil)
	other := open(t, "locks", cluster.Endpoints(), nil)
	_, err := kv.Lock("another") // keeps the session alive
	require.NoError(t, err)
	asked, severed := make(chan struct{}), make(chan struct{})
	executed, reply := make(chan struct{}), make(chan struct{})
	// "YQ==" and "Yg==" are the owners a and b.
	o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/txn" {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch {
		case bytes.Contains(body, []byte("YQ==")):
			close(asked)
			<-severed
			sever(w)
			return true
		case bytes.Contains(body, []byte("Yg==")):
			select {
			case <-executed:
				return false
			default:
			}
			recorded := httptest.NewRecorder()
			o.proxy.ServeHTTP(recorded, r)
			close(executed)
			<-reply
			for name, values := range recorded.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(recorded.Code)
			_, _ = w.Write(recorded.Body.Bytes())
			return true
		}
		return false
	})
	type outcome struct {
		pair *kvdb.KVPair
		err  error
	}
	lock := func(owner string) <-chan outcome {
		c := make(chan outcome, 1)
		go func() {
			pair, err := kv.LockWithTimeout("key", owner, 0, 0)
			c <- outcome{pair, err}
		}()
		return c
	}
	first := lock("a")
	receive(t, asked, "the request of a")
	second := lock("b")
	receive(t, executed, "the request of b")
	close(severed)
	require.Error(t, receive(t, first, "a").err)
	eventually(t, "the key that the call of a may have obtained is not released", func() bool {
		pair, _, err := client.KV().Get("locks/key", &api.QueryOptions{RequireConsistent: true})
		require.NoError(t, err)
		return pair == nil
	})
	theirs, err := other.LockWithTimeout("key", "c", 0, 0)
	require.NoError(t, err)
	close(reply)
	b := receive(t, second, "b")
	notLost(t, theirs)
	if b.err == nil {
		require.Fail(t, "two holders: b and c")
	}
	require.NoError(t, other.Unlock(theirs))
}

// A second Unlock during an outage obeys its context while the first one is retried in the
// background.
func TestSecondUnlockDuringOutage(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{})
	kv := open(t, "locks", cluster.Endpoints(), nil)
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	require.NoError(t, cluster.All()[0].Pause())
	defer func() { require.NoError(t, cluster.All()[0].Resume()) }()
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		began := time.Now()
		err = kvdb.WithContext(ctx, kv).Unlock(pair)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(began), 5*time.Second)
	}
}
