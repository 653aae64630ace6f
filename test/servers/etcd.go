package servers

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// etcd runs one release of etcd.
//
// The members' peer addresses are in 192.0.2.0/24, a network that does not exist. Each member
// reaches them through a SOCKS proxy of its own, so a connection shows which member it comes
// from. (etcd does not use a proxy for loopback addresses.) Only the port counts, so a peer's
// address may be changed to any other one of that network.
type etcd struct {
	folder string   // of the program
	flags  []string // that the release needs
	// snapshots means that etcdctl is installed, and that its snapshots have the whole state.
	snapshots bool
}

// etcdData is the folder of the data in a member's folder.
const etcdData = "data"

func (e etcd) installed() error {
	_, err := find(e.folder, "etcd")
	return err
}

func (etcd) endpoint(m *Member, port int) string {
	return m.c.scheme() + "://" + address(loopback, port)
}

func (etcd) peerHost(m *Member) string { return fmt.Sprintf("192.0.2.%d", m.id) }

func (e etcd) peerURL(m *Member) string { return "http://" + address(m.Peer()) }

func (e etcd) spec(m *Member) string { return m.name + "=" + e.peerURL(m) }

// identity returns the flags with the member's name and cluster.
func (e etcd) identity(m *Member) []string {
	return []string{
		"--name=" + m.name,
		"--initial-advertise-peer-urls=" + e.peerURL(m),
		"--initial-cluster=" + strings.Join(m.c.specs(), ","),
		"--initial-cluster-token=" + m.c.dir,
	}
}

func (e etcd) command(m *Member) (*exec.Cmd, error) {
	program, err := find(e.folder, "etcd")
	if err != nil {
		return nil, err
	}
	state := "new"
	if m.id > m.c.o.Members {
		state = "existing"
	}
	args := append([]string{
		"--data-dir=" + etcdData,
		"--listen-client-urls=" + m.Direct(),
		"--advertise-client-urls=" + m.Endpoint(),
		"--listen-peer-urls=http://" + address(loopback, m.peer),
		"--initial-cluster-state=" + state,
		"--log-level=warn",
	}, slices.Concat(e.identity(m), e.flags)...)
	if m.c.o.TLS {
		certFile, keyFile, err := m.c.CA.Issue(m.name, m.c.o.ServerLeaf)
		if err != nil {
			return nil, err
		}
		args = append(args, "--cert-file="+certFile, "--key-file="+keyFile)
		if m.c.o.ClientCertAuth { // either flag alone would ask for certificates
			args = append(args, "--client-cert-auth", "--trusted-ca-file="+m.c.CA.File)
		}
	}
	cmd := exec.Command(program, append(args, m.c.o.Args...)...)
	cmd.Env = []string{"HTTP_PROXY=socks5://" + address(loopback, m.socks)}
	return cmd, nil
}

func (etcd) connect(m *Member) error { return m.c.connectBySocks(m) }

func (etcd) ready(ctx context.Context, m *Member) error {
	_, err := m.c.prober.get(ctx, m.Direct()+"/health") // the server makes a linearizable read for it
	return err
}

func (etcd) leads(ctx context.Context, m *Member) (bool, error) {
	// The metrics, because the status of a server with users requires a login.
	metrics, err := m.c.prober.get(ctx, m.Direct()+"/metrics")
	return strings.Contains(metrics, "\netcd_server_is_leader 1\n"), err
}

// requests counts the messages of gRPC, and the requests of the v2 API.
func (etcd) requests(ctx context.Context, m *Member) (float64, error) {
	return m.c.prober.sum(ctx, m.Direct()+"/metrics", func(metric string) bool {
		return strings.HasPrefix(metric, "grpc_server_msg_received_total{") || strings.HasPrefix(metric, "etcd_http_received_total{")
	})
}
