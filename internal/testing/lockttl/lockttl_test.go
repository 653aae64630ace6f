package lockttl

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/zookeeper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something that must happen.
const patience = 2 * time.Minute

// store is a store whose locks have a TTL.
type store struct {
	name  string
	start func(testing.TB, servers.Options) *servers.Cluster
	init  kvdb.DatastoreInit
	// least and more are values of the option in seconds. The default is between them.
	least, more int
	most        int
	// share of the TTL is how long a holder keeps a lock that it cannot renew.
	share float64
	// late is how much longer than the TTL the server may keep a lock.
	late time.Duration
}

// stores are the stores. ZooKeeper's servers look for expired sessions once a tick.
var stores = []store{
	{"etcd v3", servers.Etcd, etcdv3.New, 10, 24, 86400, 15. / 16, 2 * time.Second},
	{"etcd v2", servers.Etcd35, etcdv2.New, 10, 24, 86400, 15. / 16, 2 * time.Second},
	{"Consul", servers.Consul, consul.New, 20, 30, 172800, 10.5 / 22, 2 * time.Second},
	{"ZooKeeper", servers.ZooKeeper, zookeeper.New, 15, 30, 86400, .75, 4 * time.Second},
}

// open opens an instance. ttl is the value of the option, 0 for none.
func (s store) open(t *testing.T, endpoint string, ttl int) kvdb.Kvdb {
	options := map[string]string{}
	if ttl > 0 {
		options[kvdb.LockTTLKey] = strconv.Itoa(ttl)
	}
	kv, err := s.init("domain", []string{endpoint}, options, func(error, string, ...interface{}) {})
	require.NoError(t, err)
	t.Cleanup(func() { _ = kvdb.Close(kv) }) // may fail, because the test has cut connections
	return kv
}

// slow skips a test that takes a minute if only quick ones are to run.
func slow(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
}

// waits starts to wait for the lock at key, and returns a channel for the time at which it was
// obtained.
func waits(t *testing.T, kv kvdb.Kvdb, key string) <-chan time.Time {
	obtained := make(chan time.Time, 1)
	go func() {
		if _, err := kv.LockWithTimeout(key, "next", patience, 0); err != nil {
			t.Errorf("the lock %s: %v", key, err)
		}
		obtained <- time.Now()
	}()
	return obtained
}

// inTime asserts that a lock was obtained at a time that fits its TTL, after the time at which
// its holder's requests did not reach the server any more.
func (s store) inTime(t *testing.T, ttl int, silent, obtained time.Time) {
	t.Helper()
	const renewal = 3 * time.Second // the last request may have been so much earlier
	took, want := obtained.Sub(silent), time.Duration(ttl)*time.Second
	require.Greater(t, took, want-renewal-500*time.Millisecond, "the lock with a TTL of %v", want)
	require.Less(t, took, want+s.late, "the lock with a TTL of %v", want)
}

// A holder that is cut off gives up its lock by its own clock. Others obtain it afterwards,
// when its TTL has ended. A holder that is not cut off keeps it.
func TestHolderIsCutOff(t *testing.T) {
	slow(t)
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			member := s.start(t, servers.Options{}).All()[0]
			near := s.open(t, member.Direct(), 0)
			kept, err := s.open(t, member.Direct(), s.least).LockWithID("kept", "holder")
			require.NoError(t, err)
			type holder struct {
				ttl      int
				lost     chan time.Time
				obtained <-chan time.Time
			}
			var holders []holder
			for _, ttl := range []int{s.least, s.more} {
				key := fmt.Sprint("cut-", ttl)
				pair, err := s.open(t, member.Endpoint(), ttl).LockWithID(key, "holder")
				require.NoError(t, err)
				h := holder{ttl, make(chan time.Time, 1), waits(t, near, key)}
				go func() {
					<-pair.Lock.(kvdb.HeldLock).Lost()
					h.lost <- time.Now()
				}()
				holders = append(holders, h)
			}
			select {
			case <-time.After(time.Duration(s.more+1) * time.Second): // longer than a TTL
			case <-holders[0].obtained:
				require.Fail(t, "a lock is lost that is kept alive")
			case <-holders[1].obtained:
				require.Fail(t, "a lock is lost that is kept alive")
			}
			cut := time.Now()
			require.NoError(t, member.Clients().Blackhole())
			for _, h := range holders {
				lost, obtained := <-h.lost, <-h.obtained
				require.Less(t, lost, obtained, "the holder knows before another client holds the lock")
				limit := time.Duration(float64(h.ttl) * s.share * float64(time.Second))
				require.Less(t, lost.Sub(cut), limit+time.Second, "the holder's own clock")
				s.inTime(t, h.ttl, cut, obtained)
			}
			select {
			case <-kept.Lock.(kvdb.HeldLock).Lost():
				require.Fail(t, "a lock is lost whose holder was not cut off")
			default:
			}
			require.NoError(t, member.Clients().Heal())
		})
	}
}

const childVariable = "KVDB_TEST_LOCKTTL" // environment: a child in JSON

// child is a process that holds a lock with a TTL of least and of more seconds.
type child struct{ Store, Endpoint string }

// ready is what the child prints when it holds the locks.
const ready = "the locks are held"

func TestChild(t *testing.T) {
	encoded := os.Getenv(childVariable)
	if encoded == "" {
		t.Skip("runs in the process that TestHolderIsKilled starts")
	}
	var c child
	require.NoError(t, json.Unmarshal([]byte(encoded), &c))
	for _, s := range stores {
		if s.name != c.Store {
			continue
		}
		for _, ttl := range []int{s.least, s.more} {
			_, err := s.open(t, c.Endpoint, ttl).LockWithID(fmt.Sprint("killed-", ttl), "child")
			require.NoError(t, err)
		}
		fmt.Println("\n" + ready)
		_, err := io.Copy(io.Discard, os.Stdin) // ends when the parent does
		require.NoError(t, err)
	}
}

// The locks of a process that was killed are free after their TTLs.
func TestHolderIsKilled(t *testing.T) {
	slow(t)
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			member := s.start(t, servers.Options{}).All()[0]
			near := s.open(t, member.Direct(), 0)
			killed := kill(t, child{s.name, member.Direct()})
			short, long := waits(t, near, fmt.Sprint("killed-", s.least)), waits(t, near, fmt.Sprint("killed-", s.more))
			s.inTime(t, s.least, killed, <-short)
			s.inTime(t, s.more, killed, <-long)
		})
	}
}

// kill starts a child, kills it when it holds its locks, and returns when it did.
func kill(t *testing.T, c child) (killed time.Time) {
	encoded, err := json.Marshal(c)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childVariable+"="+string(encoded))
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if lines.Text() == ready {
			killed = time.Now()
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait(), "the child ended by itself")
	require.NotZero(t, killed, "the child did not hold its locks")
	return killed
}

// New refuses values out of bounds, and names the option and the bounds.
func TestBounds(t *testing.T) {
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			for _, value := range []string{"x", "10s", "-1", "0", "1e3", strconv.Itoa(s.least - 1), strconv.Itoa(s.most + 1)} {
				_, err := s.init("domain", []string{"127.0.0.1:1"}, map[string]string{kvdb.LockTTLKey: value}, nil)
				require.ErrorContains(t, err, "option LockTTL: "+strconv.Quote(value))
				require.ErrorContains(t, err, strconv.Itoa(s.least))
				require.ErrorContains(t, err, strconv.Itoa(s.most))
			}
		})
	}
	for name, init := range map[string]kvdb.DatastoreInit{"mem": mem.New, "bolt": bolt.New} {
		kv, err := init("domain", nil, map[string]string{kvdb.LockTTLKey: "x", bolt.Path: t.TempDir() + "/db"}, nil)
		require.NoError(t, err, "%s has no such option", name)
		require.NoError(t, kvdb.Close(kv))
	}
}

// New refuses a value that the server does not grant, which only the server knows.
func TestBoundsOfTheServer(t *testing.T) {
	for _, c := range []struct {
		name   string
		store  store
		server servers.Options
		ttl    int
		want   string
	}{
		{"etcd v3, long election", stores[0], servers.Options{Args: []string{"--heartbeat-interval=1000", "--election-timeout=8000"}}, 10, "10s"},
		{"ZooKeeper, maximum", stores[3], servers.Options{Config: []string{"maxSessionTimeout=30000"}}, 31, "30s"},
		{"ZooKeeper, minimum", stores[3], servers.Options{Config: []string{"minSessionTimeout=18000"}}, 15, "18s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			member := c.store.start(t, c.server).All()[0]
			_, err := c.store.init("domain", []string{member.Direct()}, map[string]string{kvdb.LockTTLKey: strconv.Itoa(c.ttl)}, nil)
			require.ErrorContains(t, err, "option LockTTL")
			require.ErrorContains(t, err, c.want)
			kv := c.store.open(t, member.Direct(), 0)
			lock, err := kv.Lock("key")
			require.NoError(t, err, "without the option the server's limits are accepted")
			require.NoError(t, kv.Unlock(lock))
		})
	}
}
