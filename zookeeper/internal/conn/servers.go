package conn

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/portworx/kvdb/internal/retry"
	"github.com/portworx/kvdb/internal/settings"
)

// Servers is the list of servers to connect to. Several Conns may share one.
type Servers struct {
	mu        sync.Mutex // protects addresses
	addresses []string   // host:port
}

// Set replaces the servers by those at endpoints, which are tried in random order.
func (s *Servers) Set(endpoints []settings.Endpoint) {
	addresses := make([]string, len(endpoints))
	for i, j := range rand.Perm(len(endpoints)) {
		addresses[i] = endpoints[j].Address()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses = addresses
}

// get returns the addresses, which nobody may change.
func (s *Servers) get() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addresses
}

// hostProvider is a zk.HostProvider over Servers. While no server can be reached it waits
// between two rounds, longer each time.
type hostProvider struct {
	ctx     context.Context // ends with the Conn
	servers *Servers
	wait    retry.Backoff // of Next, which has one caller

	mu     sync.Mutex // protects what is below
	next   int        // number of the server to try next
	failed int        // how many were tried in vain since the last connection
}

func newHostProvider(ctx context.Context, servers *Servers) *hostProvider {
	return &hostProvider{ctx: ctx, servers: servers, wait: retry.Backoff{Min: 50 * time.Millisecond, Max: time.Second}}
}

// Init implements zk.HostProvider.
func (h *hostProvider) Init([]string) error { return nil }

// Len implements zk.HostProvider.
func (h *hostProvider) Len() int { return len(h.servers.get()) }

// Next implements zk.HostProvider. It returns true when all servers were tried in vain. Then
// the client fails the requests that it could not send, and waits for a second more.
func (h *hostProvider) Next() (server string, inVain bool) {
	servers := h.servers.get()
	h.mu.Lock()
	inVain = h.failed >= len(servers)
	if inVain {
		h.failed = 0
	}
	server = servers[h.next%len(servers)]
	h.next++
	h.failed++
	h.mu.Unlock()
	if inVain && h.wait.Wait(h.ctx) != nil {
		return server, true
	}
	return server, inVain || h.ctx.Err() != nil
}

// Connected implements zk.HostProvider.
func (h *hostProvider) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = 0
	h.wait.Reset()
}
