package consul

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

func TestFactContradicts(t *testing.T) {
	t.Parallel()
	f := fact{"key", indexes{created: 10, modified: 20}, 30}
	for now, want := range map[indexes]bool{
		{10, 20}: false, // unchanged
		{10, 31}: false, // written
		{31, 31}: false, // deleted and written
		{31, 40}: false,
		{10, 30}: true, // not the state at 30
		{10, 15}: true,
		{5, 5}:   true,
		{15, 20}: true,
		{15, 40}: true, // created before 30, but the key at 30 was created at 10
		{30, 31}: true,
	} {
		require.Equal(t, want, f.contradicts(&api.KVPair{CreateIndex: now.created, ModifyIndex: now.modified}), now)
	}
}

// A store is restored while connections remain open, and written to until its index is
// larger than before. The watches and locks of the changed keys end nevertheless.
func TestRestoredUnderConnections(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	writer := open(t, "history", cluster.Endpoints(), nil)
	put := func(key string) {
		_, err := writer.Put(key, "value", 0)
		require.NoError(t, err)
	}
	put("old/key")
	require.NoError(t, cluster.Backup(true))

	changed, ends := make(chan struct{}, 10), make(chan error, 1)
	old := open(t, "history", cluster.Endpoints(), nil)
	require.NoError(t, old.WatchTree("old/", 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
		if err != nil {
			ends <- err
		} else {
			changed <- struct{}{}
		}
		return err
	}))
	stream := events(t, open(t, "history", cluster.Endpoints(), nil), "new/", 0)
	put("old/key")
	receive(t, changed, "an event")
	put("new/key")
	require.Equal(t, kvdb.KVCreate, receive(t, stream, "an event").Action)
	holder := open(t, "history", cluster.Endpoints(), nil)
	waiter := open(t, "history", cluster.Endpoints(), nil)
	held, err := holder.Lock("lock")
	require.NoError(t, err)
	obtained := make(chan error, 1)
	go func() {
		next, err := waiter.LockWithTimeout("lock", "waiter", await, 0)
		if err == nil {
			err = waiter.Unlock(next)
		}
		obtained <- err
	}()
	require.NoError(t, cluster.Restore(nil))
	_, err = client.KV().Put(&api.KVPair{Key: "elsewhere"}, nil)
	require.NoError(t, err)

	require.Equal(t, kvdb.ErrWatchRevisionCompacted, receive(t, ends, "the end of the watch"))
	event := receive(t, stream, "the deletion")
	require.Equal(t, "new/key", event.Key)
	require.Equal(t, kvdb.KVDelete, event.Action)
	receive(t, lost(held), "the loss of the lock")
	require.NoError(t, receive(t, obtained, "the lock"))
	require.Equal(t, kvdb.ErrInvalidLock, holder.Unlock(held))
}

// A watch with a slow callback does not know yet that its key was deleted. That causes no
// additional requests of other watches.
func TestProbesWhileCallbackRuns(t *testing.T) {
	t.Parallel()
	const probes = 4
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "probes", []string{o.URL}, nil)
	for _, key := range []string{"quiet/key", "busy/key"} {
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
	}
	events(t, kv, "quiet/", 0)
	called, finish := make(chan struct{}, 1), make(chan struct{})
	defer close(finish)
	require.NoError(t, kv.WatchTree("busy/", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error {
		called <- struct{}{}
		<-finish
		return errors.New("over")
	}))
	_, err := kv.Put("busy/key", "again", 0)
	require.NoError(t, err)
	receive(t, called, "the call")
	_, err = kv.Delete("busy/key")
	require.NoError(t, err)
	o.take()
	var made []string
	eventually(t, "no probes", func() bool {
		made = append(made, atOnce(o.take())...)
		return len(made) >= probes
	})
	require.NotContains(t, made, "GET /v1/kv/probes/quiet/")
}

// A watch that cannot verify the history in time tries again, and does not continue before
// it has succeeded.
func TestVerifyFails(t *testing.T) {
	t.Parallel()
	s := storeOf(t, servers.Consul(t, servers.Options{}))
	h := s.history.Load()
	h.checking <- struct{}{}
	ctx, cancel := driver.WithTimeLimit(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.verify(ctx, h), kvdb.ErrNoConnection)
	<-h.checking
	require.NoError(t, s.verify(t.Context(), h))
}

// Facts about keys with long names can be verified.
func TestVerifyLongKeys(t *testing.T) {
	t.Parallel()
	s := storeOf(t, servers.Consul(t, servers.Options{}))
	h := s.history.Load()
	for i := range conn.MaxOps {
		key := strings.Repeat("k", maxKey-10) + strconv.Itoa(i)
		h.note(i, factsOf(api.KVPairs{{Key: key}, {Key: strconv.Itoa(i)}}, 1))
	}
	require.NotEmpty(t, h.known())
	require.NoError(t, s.verify(t.Context(), h))
}

// An answer that comes after the end of its history is no evidence about the next one.
func TestAnswerFromAnOldHistory(t *testing.T) {
	t.Parallel()
	s := storeOf(t, servers.Consul(t, servers.Options{}))
	m := s.mark()
	s.leave(m.history)
	m.wrote(1 << 40)
	require.EqualValues(t, 1<<40, s.since(m, false, 1<<40))
	now := s.history.Load()
	_, err := s.look(t.Context(), "none")
	require.NoError(t, err)
	require.Same(t, now, s.history.Load())
}

// A server that is asked for a stale read may have applied a write before the leader
// has: its index is no evidence against what the leader answers.
func TestStaleReadAheadOfLeader(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "ahead", []string{o.URL}, map[string]string{kvdb.ReadConsistency: kvdb.ReadStale})
	held, err := kv.Lock("lock")
	require.NoError(t, err)
	o.proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.URL.Query().Has("stale") {
			index, err := strconv.Atoi(r.Header.Get("X-Consul-Index"))
			if err != nil {
				return err
			}
			r.Header.Set("X-Consul-Index", strconv.Itoa(index+1))
		}
		return nil
	}
	_, err = kv.Get("none")
	require.Equal(t, kvdb.ErrNotFound, err)
	_, err = kv.CompareAndSet(&kvdb.KVPair{Key: "none"}, 0, []byte("value")) // reads from the leader
	require.Equal(t, kvdb.ErrNotFound, err)
	notLost(t, held)
	require.NoError(t, kv.Unlock(held))
}

// An instance that only watches a prefix without keys also notices a restore.
func TestIdleWatchOfRestoredStore(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	require.NoError(t, cluster.Backup(true))
	writer := open(t, "history", cluster.Endpoints(), nil)
	for range 10 {
		_, err := writer.Put("key", "value", 0)
		require.NoError(t, err)
	}
	ends := make(chan error, 1)
	require.NoError(t, open(t, "history", cluster.Endpoints(), nil).WatchTree("none/", 0, nil,
		func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
			ends <- err
			return err
		}))
	require.NoError(t, cluster.Restore(nil))
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, receive(t, ends, "the end of the watch"))
}

// When a token gains or loses the permission to read keys, the history stays the same.
func TestPermissionsDoNotChangeHistory(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{ACL: true})
	client, management := raw(t, cluster.All()[0]), &api.WriteOptions{Token: cluster.Token}
	const own = `session_prefix "" { policy = "write" } key_prefix "acl/own/" { policy = "write" }`
	const more = `key_prefix "acl/more/" { policy = "read" }`
	policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: "user", Rules: own}, management)
	require.NoError(t, err)
	token, _, err := client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: policy.ID}}}, management)
	require.NoError(t, err)
	admin := open(t, "acl", cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: cluster.Token})
	kv := open(t, "acl", cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: token.SecretID})
	for _, key := range []string{"more/key", "own/key"} {
		_, err = admin.Put(key, "value", 0)
		require.NoError(t, err)
	}
	held, err := kv.Lock("own/lock")
	require.NoError(t, err)
	stream := events(t, kv, "own/", 0)
	for _, rules := range []string{own + more, own} {
		events(t, kv, "", 0) // ends, or reports deletions
		policy.Rules = rules
		_, _, err = client.ACL().PolicyUpdate(policy, management)
		require.NoError(t, err)
		for range 3 { // a blocking query keeps the permissions that it began with
			written, err := admin.Put("own/key", "value", 0)
			require.NoError(t, err)
			event := receive(t, stream, "the event of the write")
			require.Equal(t, written.ModifiedIndex, event.ModifiedIndex)
		}
		_, err = kv.CompareAndDelete(&kvdb.KVPair{Key: "own/none"}, 0)
		require.Equal(t, kvdb.ErrNotFound, err)
		notLost(t, held)
	}
	require.NoError(t, kv.Unlock(held))
}
