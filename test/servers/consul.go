package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// consul runs Consul.
//
// A member listens for the others, on the port for raft and forwarded requests, on an address
// of its own, and advertises another address, where a link accepts the connections. Consul
// dials from the first address, so a connection shows which member it comes from. Gossip does
// not use this port. So a member that is cut off is still visible to the others, but takes no
// part in decisions.
type consul struct{}

func (consul) installed() error {
	_, err := find("consul", "consul")
	return err
}

func (consul) endpoint(m *Member, port int) string {
	return m.c.scheme() + "://" + address(loopback, port)
}

func (consul) bindHost(m *Member) string { return fmt.Sprintf("127.0.1.%d", m.id) }

func (consul) peerHost(m *Member) string { return fmt.Sprintf("127.0.2.%d", m.id) }

func (c consul) spec(m *Member) string { return address(c.peerHost(m), m.vote) }

func (c consul) command(m *Member) (*exec.Cmd, error) {
	program, err := find("consul", "consul")
	if err != nil {
		return nil, err
	}
	config, err := c.config(m)
	if err != nil {
		return nil, err
	}
	own := filepath.Join(m.dir, "consul.json")
	if err := os.WriteFile(own, config, 0o600); err != nil {
		return nil, err
	}
	more := filepath.Join(m.dir, "more.hcl")
	if err := os.WriteFile(more, []byte(strings.Join(m.c.o.Config, "\n")), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(program, append([]string{"agent", "-config-file", own, "-config-file", more}, m.c.o.Args...)...), nil
}

func (c consul) config(m *Member) ([]byte, error) {
	type object = map[string]any
	ports := object{
		"server": m.peer, "serf_lan": m.vote, "http": m.direct,
		"https": -1, "serf_wan": -1, "dns": -1, "grpc": -1, "grpc_tls": -1,
	}
	config := object{
		"server":           true,
		"bootstrap_expect": m.c.o.Members,
		"node_name":        m.name,
		"data_dir":         filepath.Join(m.dir, "data"),
		"bind_addr":        c.bindHost(m),
		"serf_lan":         c.peerHost(m),
		"advertise_addr":   c.peerHost(m),
		"client_addr":      loopback,
		"retry_join":       m.c.specs(),
		"retry_interval":   "500ms",
		"ports":            ports,
		"performance":      object{"raft_multiplier": 1},
		"connect":          object{"enabled": false},
		// A stopped member does not leave the cluster, because tests start it again.
		"autopilot":            object{"cleanup_dead_servers": false},
		"ui_config":            object{"enabled": false},
		"limits":               object{"http_max_conns_per_client": 10000},
		"disable_update_check": true,
		"telemetry":            object{"prometheus_retention_time": "1h", "disable_hostname": true},
		"log_level":            "warn",
	}
	if m.c.Token != "" {
		config["acl"] = object{
			"enabled": true, "default_policy": "deny",
			"tokens": object{"initial_management": m.c.Token, "agent": m.c.Token},
		}
	}
	if m.c.o.TLS {
		certFile, keyFile, err := m.c.CA.Issue(m.name, m.c.o.ServerLeaf)
		if err != nil {
			return nil, err
		}
		ports["http"], ports["https"] = -1, m.direct
		config["tls"] = object{"https": object{
			"ca_file": m.c.CA.File, "cert_file": certFile, "key_file": keyFile,
			"verify_incoming": m.c.o.ClientCertAuth,
		}}
	}
	return json.Marshal(config)
}

func (c consul) connect(m *Member) error {
	a := m.c.acceptor(address(c.peerHost(m), m.peer), func(client net.Conn) {
		from := m.c.find(func(other *Member) bool {
			return client.RemoteAddr().(*net.TCPAddr).IP.String() == c.bindHost(other)
		})
		m.c.link(from, m).carry(m.c.ctx, client, address(c.bindHost(m), m.peer), nil)
	})
	m.c.others = append(m.c.others, a)
	return a.set(true)
}

func (consul) ready(ctx context.Context, m *Member) error {
	if _, err := m.c.prober.get(ctx, m.Direct()+"/v1/kv/none?consistent", http.StatusOK, http.StatusNotFound); err != nil {
		return err
	}
	// A session needs its node in the catalog.
	health, err := m.c.prober.get(ctx, m.Direct()+"/v1/health/node/"+m.name+"?consistent")
	if err == nil && !strings.Contains(health, `"passing"`) {
		err = errors.New("not in the catalog yet")
	}
	return err
}

func (c consul) leads(ctx context.Context, m *Member) (bool, error) {
	leader, err := m.c.prober.get(ctx, m.Direct()+"/v1/status/leader")
	return strings.Trim(leader, "\"\n") == address(m.Peer()), err
}

func (consul) requests(ctx context.Context, m *Member) (float64, error) {
	return m.c.prober.sum(ctx, m.Direct()+"/v1/agent/metrics?format=prometheus", func(metric string) bool {
		return strings.HasPrefix(metric, "consul_api_http_count{") && !strings.Contains(metric, "v1_agent_metrics")
	})
}
