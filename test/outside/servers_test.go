package outside

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/consul"
	etcdcommon "github.com/portworx/kvdb/etcd/common"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/zookeeper"
)

// Ports that servers have by default.
const (
	etcdPort      = "2379"
	consulPort    = "8500"
	zookeeperPort = "2181"
)

// TestMain sets what etcd/common.TestStart takes: it finds etcd in PATH and keeps
// the data among temporary files.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	temporary, err := os.MkdirTemp("", "kvdb-outside-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(temporary)
	os.Setenv("TMPDIR", temporary)
	os.Setenv("PATH", filepath.Dir(provided("etcd", "etcd"))+string(os.PathListSeparator)+os.Getenv("PATH"))
	return m.Run()
}

// provided returns the path of a file that `make servers` provides.
func provided(file ...string) string {
	folder := os.Getenv("KVDB_SERVERS")
	if folder == "" {
		folder = filepath.Join("..", "..", ".servers")
	}
	path, err := filepath.Abs(filepath.Join(folder, filepath.Join(file...)))
	if err != nil {
		panic(err)
	}
	return path
}

// notRun skips a test that lacks something, and fails on CI, which has it.
func notRun(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf("NOT RUN: "+format, args...)
}

// needs is provided, for a test that needs the file, and a default port on which
// nothing serves.
func needs(t *testing.T, port string, file ...string) string {
	t.Helper()
	path := provided(file...)
	if _, err := os.Stat(path); err != nil {
		notRun(t, "%v; `make servers` provides it", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		notRun(t, "the default port is taken: %v", err)
	}
	require.NoError(t, l.Close())
	return path
}

// Both have the same default port, so they take turns.
func TestEtcd(t *testing.T) {
	t.Parallel()
	t.Run("v3", func(t *testing.T) {
		needs(t, etcdPort, "etcd", "etcd")
		entryPoints(t, etcdv3.New, etcdcommon.TestStart, etcdcommon.TestStop)
	})
	t.Run("v2", func(t *testing.T) {
		program := needs(t, etcdPort, "etcd35", "etcd")
		s := &server{
			t: t, data: filepath.Join(t.TempDir(), "data"),
			command: func(data string) *exec.Cmd {
				return exec.CommandContext(t.Context(), program, "--enable-v2", "--log-level=error", "--data-dir="+data)
			},
			ready: func() error {
				_, err := get("http://127.0.0.1:" + etcdPort + "/health")
				return err
			},
		}
		entryPoints(t, etcdv2.New, s.start, s.stop)
	})
}

func TestConsul(t *testing.T) {
	t.Parallel()
	program := needs(t, consulPort, "consul", "consul")
	s := &server{
		t: t, data: filepath.Join(t.TempDir(), "data"),
		command: func(data string) *exec.Cmd {
			return exec.CommandContext(t.Context(), program, "agent", "-server", "-bootstrap-expect=1",
				"-bind=127.0.0.1", "-node=outside", "-log-level=warn", "-data-dir="+data)
		},
		ready: func() error {
			// Sessions want their node in the catalog.
			health, err := get("http://127.0.0.1:" + consulPort + "/v1/health/node/outside?consistent")
			if err == nil && !strings.Contains(health, `"passing"`) {
				err = errors.New("the node is not in the catalog")
			}
			return err
		},
	}
	entryPoints(t, consul.New, s.start, s.stop)
}

func TestZooKeeper(t *testing.T) {
	t.Parallel()
	jar := needs(t, zookeeperPort, "zookeeper", "usr", "share", "java", "zookeeper.jar")
	if _, err := exec.LookPath("java"); err != nil {
		notRun(t, "%v", err)
	}
	data := filepath.Join(t.TempDir(), "data")
	config := filepath.Join(t.TempDir(), "zoo.cfg")
	lines := "tickTime=500\nmaxClientCnxns=0\nadmin.enableServer=false\nclientPort=" + zookeeperPort + "\ndataDir=" + data + "\n"
	require.NoError(t, os.WriteFile(config, []byte(lines), 0o600))
	s := &server{
		t: t, data: data,
		command: func(string) *exec.Cmd {
			return exec.CommandContext(t.Context(), "java", "-cp", filepath.Join(filepath.Dir(jar), "*"), "-Xmx192m",
				"-Dznode.container.checkIntervalMs=1000", "-Dznode.container.maxNeverUsedIntervalMs=0",
				"org.apache.zookeeper.server.quorum.QuorumPeerMain", config)
		},
		ready: func() error {
			status, err := ask("127.0.0.1:"+zookeeperPort, "srvr")
			if err == nil && !strings.Contains(status, "Mode: standalone") {
				err = fmt.Errorf("the status is %q", status)
			}
			return err
		},
	}
	entryPoints(t, zookeeper.New, s.start, s.stop)
}

// server is what a program has that starts the server of its tests itself.
type server struct {
	t       *testing.T
	data    string // folder
	command func(data string) *exec.Cmd
	ready   func() error

	running *exec.Cmd
}

func (s *server) start(removeData bool) error {
	if removeData {
		if err := os.RemoveAll(s.data); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return err
	}
	s.running = s.command(s.data)
	output, err := os.OpenFile(s.data+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	s.running.Stdout, s.running.Stderr = output, output
	if err := s.running.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(time.Minute)
	for err := s.ready(); err != nil; err = s.ready() {
		if time.Now().After(deadline) {
			printed, _ := os.ReadFile(output.Name())
			return errors.Join(fmt.Errorf("%s does not start: %w; it printed:\n%s", s.running.Path, err, printed), s.stop())
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

func (s *server) stop() error {
	if err := s.running.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	_ = s.running.Wait() // a signal ended it
	return nil
}

// get returns the page at url.
func get(url string) (string, error) {
	reply, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = errors.New(reply.Status)
	}
	return string(body), err
}

// ask returns what a server answers to a command, and then closes the connection.
func ask(address, command string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}
