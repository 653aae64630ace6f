package zookeeper

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/portworx/kvdb/internal/retry"
	"github.com/portworx/kvdb/internal/settings"
)

// hosts is a zk.HostProvider whose servers can be replaced, and which waits
// longer and longer, with jitter, while none of them can be reached.
type hosts struct {
	ctx  context.Context // ends with the client
	wait retry.Backoff   // of Next, which has one caller

	servers *addresses

	mu     sync.Mutex // protects what is below
	next   int        // number of the next one to try
	failed int        // tried in vain since the last connection
}

// addresses are those of the servers, which an instance's clients share.
type addresses struct {
	mu  sync.Mutex // protects all
	all []string   // host:port
}

// set replaces the servers.
func (a *addresses) set(servers []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = servers
}

// get returns the servers.
func (a *addresses) get() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all // which nobody changes
}

// addressesOf returns where the servers at endpoints are, in any order.
func addressesOf(endpoints []settings.Endpoint) []string {
	servers := make([]string, len(endpoints))
	for i, e := range endpoints {
		servers[i] = e.Address()
	}
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	return servers
}

func newHosts(ctx context.Context, servers *addresses) *hosts {
	return &hosts{ctx: ctx, servers: servers, wait: retry.Backoff{Min: 50 * time.Millisecond, Max: time.Second}}
}

// Init implements zk.HostProvider.
func (h *hosts) Init([]string) error { return nil }

// Len implements zk.HostProvider.
func (h *hosts) Len() int { return len(h.servers.get()) }

// Next implements zk.HostProvider. When all servers were tried in vain it says
// so, with which the client gives up the requests that it could not send, and
// waits for a second more.
func (h *hosts) Next() (server string, inVain bool) {
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
func (h *hosts) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = 0
	h.wait.Reset()
}
