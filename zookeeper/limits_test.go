package zookeeper

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// A request that is too large is refused before it is sent, because the server
// would close the connection.
func TestTooLarge(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	value := strings.Repeat("x", defaultMaxRequest-besideValue)
	longest := strings.Repeat("k", maxKey-len("d/"))
	for _, key := range []string{"short", longest, longest[:len(longest)-10] + "/dir/key"} {
		_, err := kv.Put(key, value, 0)
		require.NoError(t, err)
		_, err = kv.Put(key, value, 0)
		require.NoError(t, err)
		pair, err := kv.CompareAndSet(&kvdb.KVPair{Key: key, Value: []byte(value)}, 0, []byte(value))
		require.NoError(t, err)
		_, err = kv.Delete(pair.Key)
		require.NoError(t, err)
		_, err = kv.Create(key, value, 0)
		require.NoError(t, err)
		_, err = kv.Put(key, value+"x", 0)
		require.ErrorIs(t, err, kvdb.ErrTooLarge)
		require.ErrorContains(t, err, fmt.Sprint(len(value)))
		require.ErrorContains(t, err, kvdb.MaxRequestBytesKey)
	}
	for n, want := range map[int]error{3: nil, 4: nil, 5: kvdb.ErrTooLarge} {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for i := range n {
			_, err := tx.Put(fmt.Sprintf("tx/%d", i), value[:len(value)/4], 0)
			require.NoError(t, err)
		}
		require.ErrorIs(t, tx.Commit(), want)
	}
}

// With MaxRequestBytesKey an instance sends larger requests to a server that takes them.
func TestMaxRequestBytes(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{Args: []string{"-Djute.maxbuffer=4194304"}}).All()[0]
	plain := instance(t, "d", []string{member.Endpoint()}, nil)
	kv := instance(t, "d", []string{member.Endpoint()}, map[string]string{kvdb.MaxRequestBytesKey: "4194304"})
	value := strings.Repeat("x", 1900<<10)
	_, err := plain.Put("key", value, 0)
	require.ErrorIs(t, err, kvdb.ErrTooLarge)
	_, err = plain.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err)
	largest := strings.Repeat("x", 4194304-besideValue)
	for _, value := range []string{value, largest} {
		_, err = kv.Put("key", value, 0)
		require.NoError(t, err)
		for _, reader := range []kvdb.Kvdb{kv, plain} {
			pair, err := reader.Get("key")
			require.NoError(t, err)
			require.Equal(t, value, string(pair.Value))
		}
	}
	_, err = kv.Put("key", largest+"x", 0)
	require.ErrorIs(t, err, kvdb.ErrTooLarge)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	for i := range 2 {
		_, err = tx.Put(fmt.Sprintf("tx/%d", i), value, 0)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
	for _, wrong := range []string{"x", "-1", "0", "1000"} {
		_, err := New("d", []string{member.Endpoint()}, map[string]string{kvdb.MaxRequestBytesKey: wrong}, nil)
		require.ErrorContains(t, err, kvdb.MaxRequestBytesKey)
		require.ErrorContains(t, err, wrong)
	}
}

// Characters that the server, or its client, refuses are refused before a request is sent. The
// server checks UTF-16.
func TestIllegalCharacters(t *testing.T) {
	for c, legal := range map[rune]bool{
		0: false, '\n': false, ' ': true, 0x7f: false, 0x9f: false, 0xa0: true, 'é': true, '界': true, 0xd7ff: true,
		0xe000: false, 0xf900: true, 0xffef: true, 0xfff0: false, 0xffff: false, 0x10000: false, '😀': false, 0x10ffff: false,
	} {
		_, err := checkKey("key-" + string(c))
		require.Equal(t, legal, err == nil, "%U", c)
		_, err = checkPrefix("prefix-" + string(c))
		require.Equal(t, legal, err == nil, "%U", c)
	}
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	for _, c := range []rune{' ', 0xa0, 'é', '界', 0xd7ff, 0xf900, 0xffef} {
		_, err := kv.Put("key-"+string(c), "value", 0)
		require.NoError(t, err, "%U", c)
		_, err = kv.Get("key-" + string(c))
		require.NoError(t, err, "%U", c)
	}
}

// A write that the server refuses because a quota is used up returns an error at once.
func TestQuota(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"enforceQuota=true"}}).All()[0]
	kv, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	for _, znode := range [][2]string{
		{"/zookeeper/quota/d", ""},
		{"/zookeeper/quota/d/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=-1"},
		{"/zookeeper/quota/d/zookeeper_stats", "count=1,bytes=5"},
	} {
		_, err := conn.Create(znode[0], []byte(znode[1]), 0, zk.WorldACL(zk.PermAll))
		require.NoError(t, err)
	}
	_, err = kv.Put("key", "a value that is too long", 0)
	require.Error(t, err)
	require.NotErrorIs(t, err, kvdb.ErrUnknownOutcome)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = kvdb.WithContext(ctx, kv).LockWithTimeout("lock", "somebody with a name that is too long", 0, 0)
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "the write was retried")
}

// The server takes every transaction that CheckTx accepts, whatever the name of the user.
func TestTransactionOfAUser(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	s, err := open([]string{member.Endpoint()}, map[string]string{kvdb.UsernameKey: strings.Repeat("u", 64), kvdb.PasswordKey: "password"})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	var reads []driver.Read
	for i := range 8000 {
		reads = append(reads, driver.Read{Key: fmt.Sprintf("d/%05d", i)})
	}
	for ; s.CheckTx(reads, nil, nil) != nil; reads = reads[:len(reads)-100] {
	}
	require.NoError(t, s.Commit(t.Context(), reads, nil, nil))
}

// An instance can watch although the quota leaves no space for its mark.
func TestWatchUnderAQuota(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"enforceQuota=true"}}).All()[0]
	conn := raw(t, member)
	for _, node := range []struct{ path, data string }{
		{"/%kvdb", ""},
		{"/zookeeper/quota/%kvdb", ""},
		{"/zookeeper/quota/%kvdb/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=1"},
		{"/zookeeper/quota/%kvdb/zookeeper_stats", "count=1,bytes=0"},
	} {
		_, err := conn.Create(node.path, []byte(node.data), 0, zk.WorldACL(zk.PermAll))
		require.NoError(t, err)
	}
	_, err := conn.Create(marks, nil, 0, zk.WorldACL(zk.PermAll))
	require.Error(t, err, "the quota is used up")
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	seen := events(t, kv, "key", 0)
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	pair := receive(t, seen, "an event")
	require.NotNil(t, pair)
	require.Equal(t, "key", pair.Key)
}
