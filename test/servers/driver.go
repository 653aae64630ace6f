package servers

import (
	"context"
	"os/exec"
)

// driver has the differences between the kinds of servers.
type driver interface {
	// installed returns a *MissingError when a program is missing.
	installed() error
	// endpoint is the address of a port that serves clients.
	endpoint(m *Member, port int) string
	// peerHost and spec are what Member.Peer and Member.Spec return.
	peerHost(m *Member) string
	spec(m *Member) string
	// command returns how to run the member, and writes the files it needs. It is
	// called at each start.
	command(m *Member) (*exec.Cmd, error)
	// connect lets a new member and the others reach each other through links.
	// The caller holds Cluster.mu.
	connect(m *Member) error
	// ready returns an error while the member does not serve requests that need
	// the cluster.
	ready(ctx context.Context, m *Member) error
	// leads reports whether the member believes it is the leader.
	leads(ctx context.Context, m *Member) (bool, error)
	// requests is what Member.Requests returns.
	requests(ctx context.Context, m *Member) (float64, error)
}
