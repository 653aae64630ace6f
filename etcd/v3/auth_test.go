package etcdv3

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// worksAs asserts that an instance can make every call now, and that a watch that it
// opened earlier gets its events.
func worksAs(t *testing.T, what string, kv kvdb.Kvdb, watched <-chan *kvdb.KVPair) {
	t.Helper()
	_, err := kv.Put("key", what, 0)
	require.NoError(t, err, what)
	event := receive(t, watched, what+": the event")
	require.NotNil(t, event, what)
	require.Equal(t, what, string(event.Value))
	fresh, tree := events(t, kv, "fresh", 0), events(t, kv, "", event.ModifiedIndex)
	_, err = kv.Put("fresh", what, 0)
	require.NoError(t, err, what)
	require.Equal(t, "fresh", receive(t, fresh, what+": the event of a new watch").Key)
	require.Equal(t, "fresh", receive(t, tree, what+": the event of a new watch from an index").Key)
	require.Equal(t, "fresh", receive(t, watched, what+": the event").Key)
	lock, err := kv.LockWithTimeout("lock", "me", patience, 0)
	require.NoError(t, err, what)
	waiting := make(chan error, 1)
	go func() {
		next, err := kv.LockWithTimeout("lock", "other", patience, 0)
		if err == nil {
			err = kv.Unlock(next)
		}
		waiting <- err
	}()
	require.NoError(t, kv.Unlock(lock), what)
	require.NoError(t, receive(t, waiting, what+": a lock"))
	_, err = kv.Enumerate("")
	require.NoError(t, err, what)
}

// Authentication is turned on and off, and passwords and roles change, while an
// instance with a user is open. Its calls and streams log in again.
func TestUsersChangeUnderAnInstance(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	before := raw(t, cluster)
	_, err := before.UserAdd(t.Context(), "me", "secret")
	require.NoError(t, err)
	_, err = before.RoleAdd(t.Context(), "mine")
	require.NoError(t, err)
	_, err = before.RoleGrantPermission(t.Context(), "mine", "d/", clientv3.GetPrefixRangeEnd("d/"), clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(t, err)
	_, err = before.UserGrantRole(t.Context(), "me", "mine")
	require.NoError(t, err)

	kv := instance(t, cluster, "d", as("me", "secret"))
	watched := events(t, kv, "", 0)
	nobody := instance(t, cluster, "d", nil)
	ofNobody := events(t, nobody, "", 0)
	worksAs(t, "before there are users", kv, watched)
	withUsers(t, cluster)
	worksAs(t, "users are turned on", kv, watched)
	ignore := func(string, interface{}, *kvdb.KVPair, error) error { return nil }
	_, err = nobody.Get("key")
	require.ErrorIs(t, err, rpctypes.ErrUserEmpty)
	for _, after := range []uint64{0, 1} {
		require.ErrorIs(t, nobody.WatchTree("", after, nil, ignore), rpctypes.ErrUserEmpty)
	}

	admin, err := clientv3.New(clientv3.Config{
		Endpoints: cluster.Endpoints(), Username: "root", Password: "secret", Logger: zap.NewNop(), DialTimeout: patience,
	})
	require.NoError(t, err)
	defer admin.Close()
	for i := range 3 {
		role := fmt.Sprint("role", i)
		_, err = admin.RoleAdd(t.Context(), role)
		require.NoError(t, err)
		_, err = admin.UserGrantRole(t.Context(), "me", role)
		require.NoError(t, err)
		worksAs(t, "the user has got "+role, kv, watched)
	}

	_, err = admin.UserChangePassword(t.Context(), "me", "other")
	require.NoError(t, err)
	_, err = kv.Get("key")
	require.ErrorIs(t, err, rpctypes.ErrAuthFailed)
	for _, after := range []uint64{0, 1} {
		began := time.Now()
		require.ErrorIs(t, kv.WatchTree("", after, nil, ignore), rpctypes.ErrAuthFailed)
		require.Less(t, time.Since(began), driver.CallTimeout/2)
	}
	_, err = admin.UserChangePassword(t.Context(), "me", "secret")
	require.NoError(t, err)
	worksAs(t, "the password is the old one again", kv, watched)

	_, err = admin.AuthDisable(t.Context())
	require.NoError(t, err)
	worksAs(t, "users are turned off", kv, watched)
	_, err = nobody.Put("key", "nobody's", 0)
	require.NoError(t, err)
	for event := receive(t, ofNobody, "the event"); string(event.Value) != "nobody's"; event = receive(t, ofNobody, "the event") {
		require.NotNil(t, event)
	}
	require.Equal(t, "nobody's", string(receive(t, watched, "the event").Value))
	_, err = before.AuthEnable(t.Context())
	require.NoError(t, err)
	worksAs(t, "users are turned on again", kv, watched)
}
