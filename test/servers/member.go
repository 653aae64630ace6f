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

	// Ports, each for one thing in all its life. Not all kinds use them all.
	front  int // where clients connect: the link's
	direct int // where it serves clients
	plain  int // where it serves this package without TLS
	peer   int // where it serves the other members
	vote   int // the same, for what ZooKeeper and Consul keep apart
	socks  int // its proxy to the other members

	mu     sync.Mutex // serializes the methods that change what is below
	proc   *process   // the last one started, or nil
	paused bool
}

// Name is the member's name in the cluster.
func (m *Member) Name() string { return m.name }

// Endpoint is where clients find the member: a URL for etcd and Consul, host and
// port for ZooKeeper. It leads through Clients.
func (m *Member) Endpoint() string { return m.c.kind.driver.endpoint(m, m.front) }

// Direct is Endpoint past the link.
func (m *Member) Direct() string { return m.c.kind.driver.endpoint(m, m.direct) }

// Spec is how the configuration of the others names the member: name=URL for
// etcd, the server line for ZooKeeper, host and gossip port for Consul.
func (m *Member) Spec() string { return m.c.kind.driver.spec(m) }

// Peer is where the other members find the member.
func (m *Member) Peer() (host string, port int) { return m.c.kind.driver.peerHost(m), m.peer }

// Clients is the link from clients to the member.
func (m *Member) Clients() *Link { return m.clients }

// Requests is how many requests of clients the member has received since it
// started, by its own count: a little more than the programs of a test make, for
// clients send signs of life.
func (m *Member) Requests(ctx context.Context) (float64, error) {
	return m.c.kind.driver.requests(ctx, m)
}

// Peers are the links between the member and the others, both directions. Where
// a member pauses or dies they keep their state.
func (m *Member) Peers() Links {
	var links Links
	for _, other := range m.c.All() {
		if other != m {
			links = append(links, m.c.link(m, other), m.c.link(other, m))
		}
	}
	return links
}

// Isolate lets nothing pass between the member and the rest of the world,
// clients and other members, until Rejoin. No connection is closed.
func (m *Member) Isolate() error {
	return errors.Join(m.clients.Blackhole(), m.Peers().Blackhole())
}

// Rejoin ends Isolate.
func (m *Member) Rejoin() error {
	return errors.Join(m.Peers().Heal(), m.clients.Heal())
}

// Output is the end of what the server has printed.
func (m *Member) Output() string { return tail(m.output(), 4<<10) }

// outputFile is the file in a member's folder that has what the server prints.
const outputFile = "output"

func (m *Member) output() string { return filepath.Join(m.dir, outputFile) }

// Start starts the server on the data that it left. It returns when the server
// serves requests, or when all that is missing for that are other members.
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
	// Nothing of the caller's environment, which may hold settings of servers.
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
	return m.clients.setUp(false) // it has ended in between; await will say so
}

// listening returns an error while the server does not accept connections. One
// that has ended never will.
func (m *Member) listening(ctx context.Context) error {
	if !m.proc.running() {
		return final{errors.New("it has ended")}
	}
	return accepts(ctx, address(loopback, m.direct))
}

// await waits until the server serves requests, or lacks other members for that.
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

// failed adds to an error what the server printed.
func (m *Member) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s does not start: %w; its output ends with:\n%s", m.name, err, m.Output())
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

// Stop ends the server in good order. One that does not run stays so.
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

// Pause freezes the server. Its connections stay; nobody answers.
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
