package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portworx/kvdb/internal/retry"
)

const defaultPort = "2181" // ZooKeeper's own

// hosts is a zk.HostProvider whose servers can be replaced, and which waits
// longer and longer, with jitter, while none of them can be reached.
type hosts struct {
	ctx  context.Context // ends with the client
	wait retry.Backoff   // of Next, which has one caller

	mu      sync.Mutex // protects what is below
	servers []string   // host:port
	next    int        // number of the next one to try
	failed  int        // tried in vain since the last connection
}

// parseServers returns the addresses host:port of endpoints, in any order.
func parseServers(endpoints []string) ([]string, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("no endpoint given")
	}
	servers := make([]string, 0, len(endpoints))
	for _, endpoint := range endpoints {
		address := endpoint
		if _, behind, ok := strings.Cut(address, "://"); ok {
			address = behind
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			host, port = strings.Trim(address, "[]"), defaultPort
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" || strings.ContainsAny(host, "/, ") {
			return nil, fmt.Errorf("endpoint %q is not host or host:port", endpoint)
		}
		servers = append(servers, net.JoinHostPort(host, port))
	}
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	return servers, nil
}

func newHosts(ctx context.Context, servers []string) *hosts {
	return &hosts{ctx: ctx, servers: servers, wait: retry.Backoff{Min: 50 * time.Millisecond, Max: time.Second}}
}

// set replaces the servers.
func (h *hosts) set(servers []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers, h.next = servers, 0
}

// all returns the servers.
func (h *hosts) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.servers)
}

// Init implements zk.HostProvider.
func (h *hosts) Init([]string) error { return nil }

// Len implements zk.HostProvider.
func (h *hosts) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.servers)
}

// Next implements zk.HostProvider. When all servers were tried in vain it says
// so, with which the client gives up the requests that it could not send, and
// waits for a second more.
func (h *hosts) Next() (server string, inVain bool) {
	h.mu.Lock()
	inVain = h.failed >= len(h.servers)
	if inVain {
		h.failed = 0
	}
	server = h.servers[h.next%len(h.servers)]
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
