package command

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/zookeeper"
)

// administrator is a shell whose store is on servers.
type administrator struct {
	*shell
	cluster *servers.Cluster
	scheme  string
}

// administersOn returns a shell for the servers. The scheme is that of their URL.
func administersOn(t *testing.T, cluster *servers.Cluster, scheme string) *administrator {
	sh := newShell(t)
	sh.set("SECRET", "a secret")
	return &administrator{sh, cluster, scheme}
}

// url returns the URL of the store, for a user if that is not "".
func (a *administrator) url(user string, options ...string) string {
	if user != "" {
		user += "@"
	}
	if a.cluster.CA != nil {
		options = append(options, kvdb.TrustedCAFileKey+"="+a.cluster.CA.File)
	}
	return a.scheme + "://" + user + strings.Join(hostsOf(a.cluster.Endpoints()), ",") + "/admin?" + strings.Join(options, "&")
}

// use makes what url returns the store of the shell.
func (a *administrator) use(user string, options ...string) {
	a.set("KVDB_STORE", a.url(user, options...))
}

// as returns a shell for another user.
func (a *administrator) as(user string, options ...string) *shell {
	other := *a.shell
	other.env.Environ = append(other.env.Environ[:len(other.env.Environ):len(other.env.Environ)], "KVDB_STORE="+a.url(user, options...))
	return &other
}

// post sends a request to the first server's API, whose answer must be good.
func (a *administrator) post(method, path, body string) {
	a.t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	if a.cluster.CA != nil {
		pem, err := os.ReadFile(a.cluster.CA.File)
		require.NoError(a.t, err)
		roots := x509.NewCertPool()
		require.True(a.t, roots.AppendCertsFromPEM(pem))
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	request, err := http.NewRequestWithContext(a.t.Context(), method, a.cluster.All()[0].Direct()+path, bytes.NewBufferString(body))
	require.NoError(a.t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	require.NoError(a.t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	require.Less(a.t, response.StatusCode, 300, string(answer))
}

// healthy returns the state as soon as all members are healthy: the leader of Consul needs a
// moment to know the others.
func (a *administrator) healthy() (state status) {
	a.t.Helper()
	tick := time.NewTicker(time.Second / 10)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		state = status{}
		require.NoError(a.t, json.Unmarshal([]byte(a.ok("status", "-o", "json")), &state))
		if !slices.ContainsFunc(state.Members, func(m member) bool { return !m.Healthy }) {
			return state
		}
	}
	require.FailNow(a.t, "all members must be healthy", "%+v", state.Members)
	return state
}

// state returns the state that the command shows, after it has checked the members.
func (a *administrator) state(version string) status {
	a.t.Helper()
	state := a.healthy()
	require.True(a.t, state.Reachable)
	require.Positive(a.t, state.Ping)
	require.Equal(a.t, version, state.Version)
	require.Equal(a.t, hostsOf(a.cluster.Endpoints()), hostsOf(state.Endpoints))
	require.Empty(a.t, state.MembersError)
	require.True(a.t, state.Capabilities.Members)
	require.Len(a.t, state.Members, len(a.cluster.All()))
	leaders := 0
	for _, m := range state.Members {
		require.True(a.t, m.Started && !m.Learner, m)
		if m.Leader {
			leaders++
		}
	}
	require.Equal(a.t, 1, leaders)
	require.Empty(a.t, a.ok("check", "-o", "raw"))
	for _, args := range [][]string{{"status"}, {"member", "ls"}} {
		table := a.ok(args...)
		require.Equal(a.t, 1, strings.Count(table, " leader"), table)
		require.NotContains(a.t, table, "a secret")
		for line := range strings.Lines(table) {
			require.LessOrEqual(a.t, width(strings.TrimSuffix(line, "\n")), defaultWidth, line)
		}
	}
	return state
}

// users adds a user, who may do what is granted and no more, and removes it.
func (a *administrator) users() {
	a.t.Helper()
	a.ok("put", "dir/key", "value")
	a.ok("put", "other/key", "value")
	require.Regexp(a.t, `\nkeys +2\nsize +26 B\nproblems +none\n$`, a.ok("check"))
	a.set("APP", "password of app")
	a.ok("user", "add", "app", "--password-from", "env:APP")
	a.fails(exitConflict, `"kvdb user rm" removes it`, "user", "add", "app", "--password-from", "env:APP")
	app := a.as("app", "Password=env:APP")
	app.fails(exitDenied, "use a user or token that may do this", "get", "dir/key")
	denied := app.run("status")
	require.Equal(a.t, exitDenied, denied.code)
	require.Regexp(a.t, `reachable +yes`, denied.stdout)
	require.Regexp(a.t, `\nerror +\S`, denied.stdout)
	a.ok("user", "grant", "app", "read", "dir")
	require.Equal(a.t, "value", app.ok("get", "dir/key"))
	app.fails(exitDenied, "use a user or token that may do this", "get", "other/key")
	app.fails(exitDenied, "use a user or token that may do this", "put", "dir/key", "by app")
	a.ok("user", "grant", "app", "write", "dir")
	app.ok("put", "dir/key", "by app")
	a.ok("user", "revoke", "app", "read-write", "dir")
	app.fails(exitDenied, "use a user or token that may do this", "put", "dir/key", "again")

	a.fails(exitUsage, `the permission "all" must be one of read, write, read-write`, "user", "grant", "app", "all", "dir")
	a.fails(exitUsage, "add --all if you mean that", "user", "grant", "app", "read", "")
	a.ok("user", "grant", "app", "read", "", "--all")
	require.Equal(a.t, "value", app.ok("get", "other/key"))
	a.fails(exitUsage, "the name of the user is empty", "user", "add", "", "--password-from", "env:APP")
	a.fails(exitUsage, "the password is not given", "user", "add", "other")
	a.fails(exitNo, `"kvdb user add" adds it`, "user", "grant", "nobody", "read", "dir")

	a.fails(exitUsage, "this would remove user app: add --yes", "user", "rm", "app")
	require.Contains(a.t, a.run("user", "rm", "app", "--dry-run").stderr, "would remove user app in ")
	app.ok("get", "other/key")
	require.Equal(a.t, exitOK, a.on(80).in("y\n").run("user", "rm", "app").code)
	app.fails(exitDenied, "check the user", "get", "other/key")
	a.fails(exitNo, `"kvdb user add" adds it`, "user", "rm", "app", "--yes")
	a.as("app", "Password=env:SECRET").fails(exitDenied, "check the user", "status")
}

// unpermitted checks that what the command refuses is refused by the library too.
func (a *administrator) unpermitted(backend string, options map[string]string) {
	a.t.Helper()
	a.fails(exitIllegal, instead[compacting][backend], "compact", "1")
	a.fails(exitIllegal, instead[defragmenting][backend], "defrag")
	a.fails(exitIllegal, instead[addingMembers][backend], "member", "learner", "m", "127.0.0.1:1")
	if a.cluster.CA != nil {
		options[kvdb.TrustedCAFileKey] = a.cluster.CA.File
	}
	kv, err := kvdb.New(backend, "admin", a.cluster.Endpoints(), options, nil)
	require.NoError(a.t, err)
	defer func() { require.NoError(a.t, kvdb.Close(kv)) }()
	require.Equal(a.t, kvdb.ErrNotSupported, kv.Compact(1))
	if instead[managingUsers][backend] != "" {
		a.fails(exitIllegal, instead[managingUsers][backend], "user", "rm", "u", "--yes")
		require.Equal(a.t, kvdb.ErrNotSupported, kv.RemoveUser("u"))
	}
}

func TestServerAdminEtcd3(t *testing.T) {
	a := administersOn(t, servers.Etcd(t, servers.Options{Members: 3, TLS: true, Args: []string{"--bcrypt-cost=4"}}), "etcds")
	a.use("")
	a.ok("user", "add", "root", "--password-from", "env:SECRET")
	a.post(http.MethodPost, "/v3/auth/enable", "{}")
	a.use("root", "Password=env:SECRET")
	state := a.state(kvdb.EtcdVersion3)
	require.Equal(t, 3<<19-4<<10, state.Limits.MaxValue)
	require.EqualValues(t, 5, state.Limits.MinTTL)
	a.users()

	require.Contains(t, a.ok("member", "learner", "m9", "127.0.0.1:1", "-o", "raw"), "m9=http://127.0.0.1:1")
	var members []member
	require.NoError(t, json.Unmarshal([]byte(a.ok("member", "ls", "-o", "json")), &members))
	require.Len(t, members, 4)
	added := members[0] // without a name before it has started
	require.Equal(t, member{ID: added.ID, Learner: true, Clients: []string{}, Peers: []string{"http://127.0.0.1:1"}}, added)
	require.Contains(t, a.ok("member", "ls"), "not started")
	require.Contains(t, a.ok("status"), "not started")
	a.fails(exitUsage, "this would remove member "+added.ID+" (not started): add --yes", "member", "rm", added.ID)
	require.Equal(t, "would remove member "+added.ID+" (not started) in ", strings.Split(a.run("member", "rm", added.ID, "--dry-run").stderr, "etcds:")[0])
	a.ok("member", "rm", added.ID, "--yes")
	a.fails(exitNo, `"kvdb member ls" lists the members`, "member", "rm", added.ID, "--yes")
	a.fails(exitNo, `"kvdb member ls" lists the members`, "member", "update", "m9", "127.0.0.1:1")
	m := members[1]
	require.Contains(t, a.ok("member", "update", m.Name, strings.TrimPrefix(m.Peers[0], "http://")), m.Name)

	var done []struct{ Endpoint string }
	require.NoError(t, json.Unmarshal([]byte(a.ok("defrag", "--cluster", "-o", "json")), &done))
	require.Len(t, done, 3)
	for _, m := range state.Members {
		if m.Leader {
			require.Equal(t, m.Clients[0], done[2].Endpoint, "the leader is last")
		}
	}
	a.as("root", "Password=env:APP").fails(exitDenied, "check the user", "member", "ls")
}

func TestServerAdminEtcd2(t *testing.T) {
	a := administersOn(t, servers.Etcd35(t, servers.Options{Members: 3, TLS: true, Args: []string{"--bcrypt-cost=4"}}), "etcd2s")
	a.post(http.MethodPut, "/v2/auth/users/root", `{"user":"root","password":"a secret"}`)
	a.post(http.MethodPut, "/v2/auth/enable", "")
	a.use("root", "Password=env:SECRET")
	a.state(kvdb.EtcdVersion3)
	a.users()
	a.unpermitted(etcdv2.Name, map[string]string{kvdb.UsernameKey: "root", kvdb.PasswordKey: "a secret"})
}

func TestServerAdminConsul(t *testing.T) {
	a := administersOn(t, servers.Consul(t, servers.Options{Members: 3, TLS: true, ACL: true}), "consuls")
	a.set("TOKEN", a.cluster.Token)
	a.use("", "ACLToken=env:TOKEN")
	a.state(kvdb.ConsulVersion1)
	a.unpermitted(consul.Name, map[string]string{kvdb.ACLTokenKey: a.cluster.Token})
	a.fails(exitIllegal, "-retry-join", "member", "update", "m", "127.0.0.1:1")
	a.fails(exitNo, `"kvdb member ls" lists the members`, "member", "rm", "nobody", "--yes")
	a.as("", "ACLToken=env:SECRET").fails(exitDenied, "token", "status")
}

func TestServerAdminZooKeeper(t *testing.T) {
	a := administersOn(t, servers.ZooKeeper(t, servers.Options{Members: 3, TLS: true}), "zks")
	user, password, _ := strings.Cut(servers.SuperUser, ":")
	a.set("SUPER", password)
	a.use(user, "Password=env:SUPER")
	a.state(kvdb.ZookeeperVersion1)
	require.Contains(t, a.ok("member", "learner", "server.7", "127.0.0.1:1001"), "127.0.0.1:1001")
	require.Contains(t, a.ok("member", "ls"), "server.7")
	a.fails(exitConflict, `"kvdb member ls" lists the members`, "member", "add", "server.7", "127.0.0.1:1001")
	a.ok("member", "update", "server.7", "127.0.0.1:1002")
	a.ok("member", "rm", "server.7", "--yes")
	require.NotContains(t, a.ok("member", "ls"), "server.7")
	a.fails(exitIllegal, instead[compacting][zookeeper.Name], "compact", "1")
	a.fails(exitIllegal, instead[managingUsers][zookeeper.Name], "user", "rm", "u", "--yes")
	a.fails(exitIllegal, instead[defragmenting][zookeeper.Name], "defrag")
}
