package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// startTimeout is how long a server may take until it serves requests.
const startTimeout = 60 * time.Second

// Member is one server of a cluster. It is safe for concurrent use.
type Member struct {
	c       *Cluster
	name    string
	id      int // from 1, never used again
	dir     string
	clients *Link

	// The ports of the member, which never change. Not all kinds use all of them.
	front  int // of the link, where clients connect
	direct int // of the server, for clients
	plain  int // of the server without TLS, for this package
	peer   int // of the server, for the other members
	vote   int // a second one for them, of ZooKeeper and Consul
	socks  int // of its proxy to the other members

	mu     sync.Mutex // serializes the methods that change what is below
	proc   *process   // the last one started, or nil
	paused bool
}

// Name is the member's name in the cluster.
func (m *Member) Name() string { return m.name }

// Endpoint returns the address for clients, through the link Clients: a URL for etcd and
// Consul, host and port for ZooKeeper.
func (m *Member) Endpoint() string { return m.c.kind.driver.endpoint(m, m.front) }

// Direct returns the address for clients that bypasses the link.
func (m *Member) Direct() string { return m.c.kind.driver.endpoint(m, m.direct) }

// Spec returns the member's entry in the configuration of the others: name=URL for etcd, the
// server line for ZooKeeper, host and gossip port for Consul.
func (m *Member) Spec() string { return m.c.kind.driver.spec(m) }

// Peer returns the address for the other members.
func (m *Member) Peer() (host string, port int) { return m.c.kind.driver.peerHost(m), m.peer }

// Clients is the link from clients to the member.
func (m *Member) Clients() *Link { return m.clients }

// Requests returns the number of requests of clients that the member has received since it
// started, by its own count. It includes the heartbeats of clients.
func (m *Member) Requests(ctx context.Context) (float64, error) {
	return m.c.kind.driver.requests(ctx, m)
}

// Peers returns the links between the member and the others, in both directions. They keep
// their state when a member pauses or dies.
func (m *Member) Peers() Links {
	var links Links
	for _, other := range m.c.All() {
		if other != m {
			links = append(links, m.c.link(m, other), m.c.link(other, m))
		}
	}
	return links
}

// Isolate blocks all data between the member and clients or other members, until Rejoin. It
// closes no connection.
func (m *Member) Isolate() error {
	return errors.Join(m.clients.Blackhole(), m.Peers().Blackhole())
}

// Rejoin ends Isolate.
func (m *Member) Rejoin() error {
	return errors.Join(m.Peers().Heal(), m.clients.Heal())
}

// Output returns the end of the server's output.
func (m *Member) Output() string { return tail(m.output(), 4<<10) }

// outputFile is the file in a member's folder with the server's output.
const outputFile = "output"

func (m *Member) output() string { return filepath.Join(m.dir, outputFile) }

// Start starts the server with its data. It returns when the server serves requests, or needs
// only other members to do so.
func (m *Member) Start() error {
	ctx, cancel := context.WithTimeout(m.c.ctx, startTimeout)
	defer cancel()
	if err := m.launch(ctx); err != nil {
		return err
	}
	return m.await(ctx)
}

// launch starts the server and returns when it accepts connections.
func (m *Member) launch(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != nil {
		if m.proc.running() {
			return fmt.Errorf("%s runs already", m.name)
		}
		<-m.proc.done
	}
	if err := ctx.Err(); err != nil { // a closed cluster stays closed
		return err
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	cmd, err := m.c.kind.driver.command(m)
	if err != nil {
		return err
	}
	cmd.Dir = m.dir
	// Without the caller's environment, which may have settings of servers.
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "HOME="+m.dir)
	return m.run(ctx, cmd)
}

// run runs cmd as the member's process. The caller holds mu.
func (m *Member) run(ctx context.Context, cmd *exec.Cmd) error {
	proc, err := launch(cmd, m.output(), func() { _ = m.clients.setUp(false) })
	if err != nil {
		return err
	}
	m.proc, m.paused = proc, false
	if err := poll(ctx, func() error { return m.listening(ctx) }); err != nil {
		return m.failed(err)
	}
	if err := m.clients.setUp(true); err != nil || proc.running() {
		return err
	}
	return m.clients.setUp(false) // it has ended meanwhile; await returns the error
}

// listening returns an error while the server does not accept connections. The error is final
// if the server has ended.
func (m *Member) listening(ctx context.Context) error {
	if !m.proc.running() {
		return final{errors.New("it has ended")}
	}
	return accepts(ctx, address(loopback, m.direct))
}

// await waits until the server serves requests, or needs only other members to do so.
func (m *Member) await(ctx context.Context) error {
	err := poll(ctx, func() error {
		err := m.c.kind.driver.ready(ctx, m)
		switch {
		case err == nil:
			return nil
		case !m.Running():
			return final{errors.New("it has ended")}
		case !m.c.quorum(m):
			return nil
		}
		return err
	})
	return m.failed(err)
}

// failed adds the server's output to an error.
func (m *Member) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s does not serve: %w; its output ends with:\n%s", m.name, err, m.Output())
}

// Running reports whether the server runs, paused or not.
func (m *Member) Running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc != nil && m.proc.running()
}

// available reports whether the server can answer.
func (m *Member) available() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc != nil && m.proc.running() && !m.paused
}

// Stop ends the server in good order. It does nothing if the server does not run.
func (m *Member) Stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil || !m.proc.running() {
		return nil
	}
	if m.paused {
		if err := m.proc.resume(); err != nil {
			return err
		}
	}
	return m.proc.stop()
}

// Kill ends the server at once, as kill -9 does.
func (m *Member) Kill() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil {
		return nil
	}
	return m.proc.kill()
}

// Restart is Stop and Start.
func (m *Member) Restart() error {
	if err := m.Stop(); err != nil {
		return err
	}
	return m.Start()
}

// Pause freezes the server. Its connections stay open, without answers.
func (m *Member) Pause() error { return m.freeze(true, (*process).pause) }

// Resume ends Pause.
func (m *Member) Resume() error { return m.freeze(false, (*process).resume) }

func (m *Member) freeze(paused bool, how func(*process) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil || !m.proc.running() {
		return fmt.Errorf("%s does not run", m.name)
	}
	if err := how(m.proc); err != nil {
		return err
	}
	m.paused = paused
	return nil
}
