package servers_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

// orphanEnv tells this program, started again, in which folder to start servers.
const orphanEnv = "KVDB_TEST_ORPHAN"

// orphan starts a cluster, prints where its members listen, and waits to be
// killed.
func orphan() {
	c, err := servers.New(servers.EtcdKind, os.Getenv(orphanEnv), servers.Options{Members: 3})
	if err == nil {
		err = c.Start()
	}
	if err == nil {
		err = c.All()[0].Pause()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, m := range c.All() {
		fmt.Print(strings.TrimPrefix(m.Direct(), "http://"), " ")
	}
	fmt.Println()
	select {}
}

func TestServersDieWithTheProcess(t *testing.T) {
	long(t)
	servers.Etcd(t, servers.Options{}) // skips the test when etcd is missing
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), orphanEnv+"="+t.TempDir())
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait(), "killed")
	require.NoError(t, err)
	listeners := strings.Fields(line)
	require.Len(t, listeners, 3, line)
	for _, addr := range listeners {
		require.Eventually(t, func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
			}
			return errors.Is(err, syscall.ECONNREFUSED)
		}, patience, 10*time.Millisecond)
	}
}

func TestStartFails(t *testing.T) {
	long(t)
	servers.Etcd(t, servers.Options{}) // skips the test when etcd is missing
	c, err := servers.New(servers.EtcdKind, t.TempDir(), servers.Options{Args: []string{"--no-such-flag"}})
	require.NoError(t, err)
	err = c.Start()
	require.ErrorContains(t, err, "it has ended")
	require.ErrorContains(t, err, "flag provided but not defined: -no-such-flag", "what the server says about it")
	require.NoError(t, c.Close())
	require.Error(t, c.Start(), "a closed cluster stays closed")
}

// TestEndsWhileStarting has a server that would wait for another one for ever.
func TestEndsWhileStarting(t *testing.T) {
	long(t)
	servers.Consul(t, servers.Options{}) // skips the test when Consul is missing
	c, err := servers.New(servers.ConsulKind, t.TempDir(), servers.Options{Config: []string{"bootstrap_expect = 2"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	started := make(chan error)
	go func() { started <- c.Start() }()
	m := c.All()[0]
	require.Eventually(t, m.Running, patience, 10*time.Millisecond)
	require.NoError(t, m.Kill())
	require.ErrorContains(t, <-started, "it has ended")
}

// outcome is a test that notes how it ends, instead of ending.
type outcome struct {
	testing.TB
	skipped, failed string
}

func (o *outcome) Helper()         {}
func (o *outcome) TempDir() string { return os.TempDir() }

func (o *outcome) Skipf(format string, args ...any) {
	o.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (o *outcome) Fatal(args ...any) {
	o.failed = fmt.Sprint(args...)
	runtime.Goexit()
}

func TestMissingServer(t *testing.T) {
	t.Setenv("KVDB_SERVERS", t.TempDir())
	for _, k := range kinds {
		_, err := servers.New(k.kind, t.TempDir(), servers.Options{})
		var missing *servers.MissingError
		require.ErrorAs(t, err, &missing)
		require.ErrorContains(t, err, "make servers")

		for _, ci := range []string{"", "true"} {
			t.Setenv("CI", ci)
			var o outcome
			done := make(chan struct{})
			go func() {
				defer close(done)
				k.start(&o, servers.Options{})
			}()
			<-done
			if ci == "" {
				require.Contains(t, o.skipped, err.(*servers.MissingError).Program)
				require.Empty(t, o.failed)
			} else {
				require.Contains(t, o.failed, "make servers")
				require.Empty(t, o.skipped)
			}
		}
	}
}
