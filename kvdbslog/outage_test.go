package kvdbslog_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/kvdbslog"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/zookeeper"
)

// patience is how long a test waits for something that must happen.
const patience = 30 * time.Second

// lines is a writer that keeps what a handler writes, one line at a time.
type lines struct {
	mu    sync.Mutex // protects all
	all   []string
	added chan struct{} // has an element if there are more lines than when it was taken
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	l.all = append(l.all, string(line))
	l.mu.Unlock()
	select {
	case l.added <- struct{}{}:
	default:
	}
	return len(line), nil
}

// index returns the index of the first line with all parts, or -1.
func (l *lines) index(parts ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.IndexFunc(l.all, func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	})
}

// await waits for a line with all parts.
func (l *lines) await(t *testing.T, parts ...string) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for l.index(parts...) < 0 {
		select {
		case <-l.added:
		case <-timer.C:
			require.FailNow(t, "not logged", "%q, only\n%s", parts, strings.Join(l.all, ""))
		}
	}
}

// An outage of the server and a lock that is removed by force are in the log at the levels
// that operators see, without keys.
func TestOutage(t *testing.T) {
	for name, c := range map[string]struct {
		start func(testing.TB, servers.Options) *servers.Cluster
		open  kvdb.DatastoreInit
		// lockKey is the key, in the domain, at which the store keeps the lock of "the-lock", or
		// "" if only the store itself can remove that.
		lockKey string
	}{
		"etcd v3":   {servers.Etcd, etcdv3.New, "domain/the-lock"},
		"etcd v2":   {servers.Etcd35, etcdv2.New, ""},
		"Consul":    {servers.Consul, consul.New, ""},
		"ZooKeeper": {servers.ZooKeeper, zookeeper.New, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			member := c.start(t, servers.Options{}).All()[0]
			log := &lines{added: make(chan struct{}, 1)}
			kv, err := c.open("domain", []string{member.Endpoint()}, nil, func(error, string, ...interface{}) {})
			require.NoError(t, err)
			defer kvdb.Close(kv)
			require.NoError(t, kvdb.AddHooks(kv, kvdbslog.New(slog.New(slog.NewTextHandler(log, nil)))))
			_, err = kv.Put("the-key", "the-value", 0)
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			_, err = kvdb.Events(ctx, kv, "the-key", 0)
			require.NoError(t, err)
			_, err = kv.LockWithTimeout("the-lock", "holder", 0, 0)
			require.NoError(t, err)
			if c.lockKey != "" {
				_, err = kv.Delete(c.lockKey)
				require.NoError(t, err)
				log.await(t, "level=WARN", "lock lost", "id=holder", "reason=removed")
			}

			require.NoError(t, member.Kill())
			log.await(t, "level=WARN", "watch interrupted", "error=")
			log.await(t, "level=WARN", "connection lost", "endpoint="+strings.TrimPrefix(member.Endpoint(), "http://"))
			require.NoError(t, member.Start())
			log.await(t, "level=INFO", "watch resumed", "gap=")
			log.await(t, "level=INFO", "connection made")
			require.Less(t, log.index("watch interrupted"), log.index("watch resumed"))
			for _, secret := range []string{"the-key", "the-value", "the-lock", "DEBUG"} {
				require.Negative(t, log.index(secret), "%q is logged", secret)
			}
		})
	}
}
