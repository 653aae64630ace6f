package zookeeper

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/settings"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

const (
	configPath = "/zookeeper/config"
	// modeTimeout bounds how long a member may take to return its mode.
	modeTimeout = time.Second
)

// member is a line of the ensemble's configuration:
// server.1=host:2888:3888:participant;host:2181
type member struct {
	id         uint64
	host, port string // where followers connect
	line       string
	observer   bool
	client     string // host:port
}

// members returns the members and the version of the configuration. It returns
// kvdb.ErrNotSupported for a server that runs alone, which has none.
func (s *store) members(ctx context.Context) (members []member, version int64, err error) {
	_, data, err := s.look(ctx, configPath, true, true)
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name == "version" {
			if version, err = strconv.ParseInt(value, 16, 64); err != nil {
				return nil, 0, fmt.Errorf("configuration of the ensemble: %w", err)
			}
		}
		number, ok := strings.CutPrefix(name, "server.")
		if !ok {
			continue
		}
		m, err := parseMember(number, value)
		if err != nil {
			return nil, 0, fmt.Errorf("configuration of the ensemble: %q: %w", line, err)
		}
		members = append(members, m)
	}
	if len(members) == 0 {
		return nil, 0, kvdb.ErrNotSupported
	}
	return members, version, nil
}

// parseMember parses the number and the value of a line.
func parseMember(number, value string) (member, error) {
	id, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return member{}, err
	}
	server, client, _ := strings.Cut(value, ";")
	m := member{id: id, line: value, observer: strings.HasSuffix(server, ":observer")}
	address := strings.TrimSuffix(strings.TrimSuffix(server, ":observer"), ":participant")
	address, _, _ = strings.Cut(address, "|") // the first of several
	i := strings.LastIndexByte(address, ':')
	if m.host, m.port, err = net.SplitHostPort(address[:max(i, 0)]); err != nil {
		return member{}, err
	}
	host, port, err := net.SplitHostPort(client)
	if err != nil {
		host, port = "", client
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = m.host
	}
	if port != "" {
		m.client = net.JoinHostPort(host, port)
	}
	return m, nil
}

// name returns the name of the member's line.
func (m member) name() string { return fmt.Sprintf("server.%d", m.id) }

// numberOf returns the number in a member's name, and false if there is none.
func numberOf(name string) (uint64, bool) {
	id, err := strconv.ParseUint(strings.TrimPrefix(name, "server."), 10, 64)
	return id, err == nil
}

// followerURLs returns the addresses where followers connect to the member.
func (m member) followerURLs() []string { return []string{net.JoinHostPort(m.host, m.port)} }

// memberInfo asks the member for its mode, and returns what is known of it.
func (s *store) memberInfo(ctx context.Context, m member) *kvdb.MemberInfo {
	info := &kvdb.MemberInfo{
		PeerUrls: m.followerURLs(), ID: strconv.FormatUint(m.id, 10), Name: m.name(), IsLearner: m.observer,
	}
	var mode string
	// A member that does not answer does not serve.
	_, _ = s.calls.Try(ctx, call.Repeatable, func(ctx context.Context, _ func()) (_ fmt.Stringer, fate call.Fate, err error) {
		mode, err = m.mode(ctx)
		return call.Address(m.client), fateOf(err), err
	})
	info.Leader = mode == conn.Leader
	if mode != "" {
		info.HasStarted, info.IsHealthy, info.ClientUrls = true, true, []string{m.client}
	}
	return info
}

// mode asks the member for its mode.
func (m member) mode(ctx context.Context) (string, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, modeTimeout)
	defer cancel()
	socket, err := new(net.Dialer).DialContext(ctx, "tcp", m.client)
	if err != nil {
		return "", fmt.Errorf("%w: %w", zk.ErrNoServer, err)
	}
	return conn.Mode(ctx, socket)
}

// clientPort returns the port on which a new member at ip serves clients: that of the first
// member, or the next one that is free where members share an address.
func clientPort(members []member, ip string) string {
	taken := map[string]bool{}
	for _, m := range members {
		taken[m.client] = true
	}
	_, first, err := net.SplitHostPort(members[0].client)
	port, parseErr := strconv.Atoi(first)
	if err != nil || parseErr != nil {
		return settings.ZooKeeperPort
	}
	for taken[net.JoinHostPort(ip, strconv.Itoa(port))] {
		port++
	}
	return strconv.Itoa(port)
}
