package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

// onEachServer runs the test with a shell on each store that has servers.
func onEachServer(t *testing.T, test func(t *testing.T, sh *shell, scheme string)) {
	for scheme, start := range map[string]func(testing.TB, servers.Options) *servers.Cluster{
		"etcd": servers.Etcd, "etcd2": servers.Etcd35, "consul": servers.Consul, "zk": servers.ZooKeeper,
	} {
		t.Run(scheme, func(t *testing.T) {
			sh := newShell(t)
			sh.set("KVDB_STORE", urlOf(scheme, start(t, servers.Options{}), "my/app"))
			test(t, sh, scheme)
		})
	}
}

// urlOf returns the URL of a cluster.
func urlOf(scheme string, cluster *servers.Cluster, domain string) string {
	var hosts []string
	for _, endpoint := range cluster.Endpoints() {
		if i := strings.Index(endpoint, "://"); i >= 0 {
			endpoint = endpoint[i+len("://"):]
		}
		hosts = append(hosts, endpoint)
	}
	return scheme + "://" + strings.Join(hosts, ",") + "/" + domain
}

// A session of all commands ends in the same state on each store.
func TestServerSession(t *testing.T) {
	onEachServer(t, func(t *testing.T, sh *shell, scheme string) { runSession(t, sh, scheme != "zk", scheme != "etcd2") })
}

// The session is the same in a file.
func TestSession(t *testing.T) { runSession(t, newShell(t), true, true) }

func runSession(t *testing.T, sh *shell, ttls, manyKeys bool) {
	t.Run("write", func(t *testing.T) { sessionWrites(t, sh) })
	t.Run("TTL", func(t *testing.T) { sessionTTLs(t, sh, ttls) })
	t.Run("txn", func(t *testing.T) { sessionTxn(t, sh, manyKeys) })
	t.Run("read", func(t *testing.T) { sessionReads(t, sh) })
	t.Run("watch", func(t *testing.T) { sessionWatches(t, sh) })
	t.Run("lock", func(t *testing.T) { sessionLocks(t, sh) })
	t.Run("delete", func(t *testing.T) { sessionDeletes(t, sh) })
}

func sessionWrites(t *testing.T, sh *shell) {
	sh.ok("create", "app/colour", "blue")
	sh.fails(exitConflict, "Key already exists", "create", "app/colour", "red")
	sh.fails(exitNo, "Key not found", "update", "app/size", "10")
	sh.in(binary).ok("put", "app/binary")
	require.Equal(t, binary, sh.ok("get", "app/binary"))
	sh.ok("update", "app/colour", "green")
	sh.fails(exitConflict, "Value mismatch", "cas", "app/colour", "x", "--value", "blue")
	sh.ok("cas", "app/colour", "red", "--value", "green")
	sh.ok("cas", "app/new", "1", "--modified", "0")
	sh.fails(exitConflict, "Key Index mismatch", "cas", "app/new", "1", "--modified", "0")
	editor(t, sh, `echo 20 > "$1"`).ok("edit", "--create", "app/size")
	sh.ok("put", "other", "red")
	require.Contains(t, sh.ok("get", "-o", "json", "app/colour"), `"key":"app/colour","value":"red","encoding":"utf-8"`)
}

func sessionTTLs(t *testing.T, sh *shell, ttls bool) {
	if !ttls {
		sh.fails(exitIllegal, "has no TTLs: leave out --ttl", "put", "--ttl", "1h", "session", "open")
		require.Contains(t, sh.ok("get", "-o", "json", "app/new"), `"ttl":0`)
		return
	}
	sh.ok("put", "--ttl", "1h", "session", "open")
	require.Equal(t, "1h0m0s\n", steady(sh.ok("ttl", "session")))
	require.Regexp(t, `"ttl":3[56]\d\d`, sh.ok("get", "-o", "json", "session"))
	require.Regexp(t, `1h0m0s  session`, steady(sh.ok("ls", "-l")))
	require.Equal(t, "session\n", sh.ok("find", "--expires"))
	editor(t, sh, `echo closed > "$1"`).ok("edit", "session")
	require.Equal(t, "1h0m0s\n", steady(sh.ok("ttl", "session")), "an edit keeps the TTL")
	sh.ok("ttl", "session", "0")
	require.Equal(t, "none\n", sh.ok("ttl", "session"))
	require.Equal(t, "closed", sh.ok("get", "session"))
	sh.ok("rm", "session")
}

func sessionTxn(t *testing.T, sh *shell, manyKeys bool) {
	if !manyKeys {
		sh.in(`{"op":"check","key":"app/new","value":"1"}
{"op":"put","key":"app/new","value":"2"}`).ok("txn")
		sh.in(`{"op":"put","key":"app/new","value":"3"}
{"op":"put","key":"app/size","value":"30"}`).fails(exitIllegal, "not supported", "txn")
		require.Equal(t, "2", sh.ok("get", "app/new"))
		return
	}
	sh.ok("put", "old", "1")
	sh.in(`{"op":"check","key":"app/colour","value":"blue"}
{"op":"put","key":"app/new","value":"3"}`).fails(exitConflict, "it has another value; nothing was applied", "txn")
	sh.in(`{"op":"check","key":"app/colour","value":"red"}
{"op":"check","key":"none","exists":false}
{"op":"put","key":"app/new","value":"2"}
{"op":"delete","key":"old"}
{"op":"delete","key":"none"}`).ok("txn")
	require.Equal(t, "2", sh.ok("get", "app/new"))
	sh.fails(exitNo, "Key not found", "get", "old")
}

func sessionReads(t *testing.T, sh *shell) {
	require.Equal(t, "app\nother\n", sh.ok("ls"))
	require.Equal(t, "app/binary\napp/colour\napp/new\napp/size\n", sh.ok("ls", "-r", "app"))
	require.Equal(t, "app\n├── binary\n├── colour\n├── new\n└── size\n4 keys\n", sh.ok("tree", "app"))
	require.Equal(t, "48\ttotal\n", sh.ok("du", "-d", "0", "-o", "raw", "app"))
	require.Equal(t, "app/colour:red\nother:red\n", sh.ok("grep", "red"))
	require.Equal(t, "app/binary\n", sh.ok("find", "--larger", "4"))
	require.Equal(t, []string{"app/", "other"}, complete(sh, "get", ""))
}

func sessionWatches(t *testing.T, sh *shell) {
	state := filepath.Join(t.TempDir(), "state")
	r := sh.start("watch", "--initial", "--resume", state, "--count", "6", "-o", "jsonl", "app/")
	await(t, &r.stdout, `"key":"app/size"`)
	sh.ok("put", "app/colour", "blue")
	await(t, &r.stdout, `{"action":"set","key":"app/colour"`)
	sh.ok("rm", "app/new")
	require.Equal(t, exitOK, r.ends())
	await(t, &r.stdout, `{"action":"delete","key":"app/new"`)
	text, err := os.ReadFile(state)
	require.NoError(t, err)
	require.NotEqual(t, "0\n", string(text))
}

// Of many contenders one holds the lock at a time, and the tokens grow.
func sessionLocks(t *testing.T, sh *shell) {
	const contenders = 50
	dir := t.TempDir()
	count, tokens := filepath.Join(dir, "count"), filepath.Join(dir, "tokens")
	require.NoError(t, os.WriteFile(count, []byte("0"), 0o600))
	script := fmt.Sprintf(`n=$(cat %s); sleep 0.01; echo $((n+1)) > %s; echo $KVDB_LOCK_TOKEN >> %s`, count, count, tokens)
	var all []*running
	for range contenders {
		all = append(all, sh.start("lock", "jobs/nightly", "--", "sh", "-c", script))
	}
	for _, r := range all {
		code := r.ends()
		stderr, _ := r.stderr.read()
		require.Equal(t, exitOK, code, stderr)
	}
	text, err := os.ReadFile(count)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintln(contenders), string(text))
	text, err = os.ReadFile(tokens)
	require.NoError(t, err)
	last := uint64(0)
	for token := range strings.FieldsSeq(string(text)) {
		var now uint64
		_, err := fmt.Sscan(token, &now)
		require.NoError(t, err)
		require.Greater(t, now, last, "the tokens grow")
		last = now
	}

	r := sh.start("lock", "--id", "me", "jobs/nightly", "--", "sh", "-c", "echo held; exec sleep 1000")
	await(t, &r.stdout, "held")
	require.Regexp(t, `jobs/nightly  yes   me\n`, sh.ok("lock", "status", "jobs/nightly"))
	sh.fails(exitLock, "the lock is taken", "lock", "--try", "100ms", "jobs/nightly", "--", "true")
	r.signals <- Signals[1]
	require.Equal(t, 143, r.ends())
	require.Equal(t, exitNo, sh.run("lock", "status", "jobs/nightly").code)
}

func sessionDeletes(t *testing.T, sh *shell) {
	sh.ok("rm", "other")
	sh.fails(exitNo, "Key not found", "rm", "other")
	sh.fails(exitUsage, "this would delete 3 keys: app/binary, app/colour, app/size: add --yes", "rm", "-r", "app")
	sh.ok("rm", "-r", "--yes", "app")
	require.Empty(t, sh.ok("ls", "-r"))
}

// A command whose lock is lost in an outage is ended.
func TestServerLockIsLost(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	sh := newShell(t)
	sh.set("KVDB_STORE", urlOf("etcd", cluster, "")+"?LockTTL=10")
	mark := filepath.Join(t.TempDir(), "term")
	r := sh.start("lock", "k", "--", "sh", "-c", `trap 'echo ended > `+mark+`; exit' TERM; echo held; while :; do sleep 0.1; done`)
	await(t, &r.stdout, "held")
	require.NoError(t, cluster.All()[0].Kill())
	require.Equal(t, exitLock, r.ends())
	await(t, &r.stderr, `the lock on "k" was lost, so the command was ended`)
	require.FileExists(t, mark)
}
