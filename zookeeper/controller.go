package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
	"github.com/portworx/kvdb/internal/settings"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

const (
	configPath = "/zookeeper/config"
	// voteOffset is what lies between the two ports of members that this library
	// adds: for followers, and for elections (2888 and 3888 by custom).
	voteOffset = 1000
	// askTimeout bounds how long a member may take to say how it is.
	askTimeout = time.Second
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

// config returns the members and the version of the configuration;
// kvdb.ErrNotSupported for a server that runs alone, which has none.
func (s *store) config(ctx context.Context) (members []member, version int64, err error) {
	var data []byte
	err = s.sync(ctx, func(c *zk.Conn) (err error) {
		data, _, err = c.Get(configPath)
		return err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, 0, kvdb.ErrNotSupported
	}
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

// ListMembers implements [driver.MemberAdmin]. A member's name is server. and its
// number. Whether it runs, and leads, each is asked for itself.
func (s *store) ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	members, _, err := s.config(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]*kvdb.MemberInfo, len(members))
	err = parallel(ctx, len(members), func(i int) error {
		all[i] = members[i].info(ctx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	infos := map[uint64]*kvdb.MemberInfo{}
	for i, m := range members {
		infos[m.id] = all[i]
	}
	return infos, nil
}

func (m member) info(ctx context.Context) *kvdb.MemberInfo {
	info := &kvdb.MemberInfo{
		PeerUrls: []string{net.JoinHostPort(m.host, m.port)},
		ID:       strconv.FormatUint(m.id, 10), Name: m.name(), IsLearner: m.observer,
	}
	info.HasStarted, info.Leader = m.ask(ctx)
	info.IsHealthy = info.HasStarted
	if info.HasStarted {
		info.ClientUrls = []string{m.client}
	}
	return info
}

// ask asks a member whether it serves and leads.
func (m member) ask(ctx context.Context) (serves, leads bool) {
	ctx, cancel := driver.WithTimeLimit(ctx, askTimeout)
	defer cancel()
	socket, err := new(net.Dialer).DialContext(ctx, "tcp", m.client)
	if err != nil {
		return false, false
	}
	mode, err := conn.Mode(ctx, socket)
	return err == nil && mode != "", mode == conn.Leader
}

func (m member) name() string { return fmt.Sprintf("server.%d", m.id) }

// change is what a reconfiguration asks for: lines of members to add or to
// replace, and numbers of members to remove.
type change struct{ joining, leaving []string }

// holds reports whether members are as the change wants them.
func (c change) holds(members []member) bool {
	lines := map[string]member{}
	for _, m := range members {
		m.line = ""
		lines[m.name()] = m
	}
	for _, id := range c.leaving {
		if _, found := lines["server."+id]; found {
			return false
		}
	}
	for _, line := range c.joining {
		name, value, _ := strings.Cut(line, "=")
		wanted, err := parseMember(strings.TrimPrefix(name, "server."), value)
		wanted.line = ""
		if err != nil || lines[name] != wanted {
			return false
		}
	}
	return true
}

// reconfigure changes the configuration by what plan says, and returns where
// followers reach each member. The connection often breaks before the answer to
// a change that makes another member the leader; what became of it is then read
// from the configuration. Each request is bound to a version of that, so that
// none runs twice.
func (s *store) reconfigure(ctx context.Context, plan func(members []member) (change, error)) (map[string][]string, error) {
	again := retry.Backoff{Min: 10 * time.Millisecond, Max: 500 * time.Millisecond}
	var sent change
	var sentAt int64  // the version that sent is bound to
	var unknown error // why it is not known whether sent has run
	for made := false; ; {
		members, version, err := s.config(ctx)
		switch {
		case made && err != nil:
			// It is not certain any more what is in force; kvdb.ErrNoConnection would say
			// that the change was not made.
			return nil, fmt.Errorf("%w: reconfigured, but the members cannot be read: %w",
				kvdb.ErrUnknownOutcome, driver.WithCause(ctx, errors.New(err.Error())))
		case made, err == nil && unknown != nil && sent.holds(members):
			urls := map[string][]string{}
			for _, m := range members {
				urls[strconv.FormatUint(m.id, 10)] = []string{net.JoinHostPort(m.host, m.port)}
			}
			return urls, nil
		case unknown != nil && (err != nil || version != sentAt):
			return nil, unknown
		case err != nil:
			return nil, err
		}
		planned, err := plan(members)
		if err != nil {
			return nil, err
		}
		err = s.write(ctx, func(c *zk.Conn) error {
			_, err := c.IncrementalReconfig(planned.joining, planned.leaving, version)
			return err
		})
		switch {
		case err == nil:
			made = true
		case errors.Is(err, zk.ErrReconfigDisabled):
			return nil, kvdb.ErrNotSupported
		case errors.Is(err, kvdb.ErrUnknownOutcome):
			sent, sentAt, unknown = planned, version, fmt.Errorf("reconfigure: %w", err)
		case errors.Is(err, zk.ErrBadVersion), err.Error() == reconfiguring:
		default:
			return nil, fmt.Errorf("reconfigure: %w", err)
		}
		if !made && again.Wait(ctx) != nil {
			return nil, driver.WithCause(ctx, cmp.Or(unknown, fmt.Errorf("reconfigure: %w", err)))
		}
	}
}

// AddMember implements [driver.MemberAdmin]. nodeName is the member's number, with
// server. in front or not; another name gets the next free number. The port for
// elections is nodePeerPort + 1000, the one for clients that of the first member,
// or the next one that is free at nodeIP.
func (s *store) AddMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return s.add(ctx, nodeIP, nodePeerPort, nodeName, "participant")
}

// AddLearner implements [driver.MemberAdmin]: it is AddMember of an observer.
func (s *store) AddLearner(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return s.add(ctx, nodeIP, nodePeerPort, nodeName, "observer")
}

func (s *store) add(ctx context.Context, ip, port, name, role string) (map[string][]string, error) {
	peer, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%w: peer port %q: %w", kvdb.ErrIllegal, port, err)
	}
	return s.reconfigure(ctx, func(members []member) (change, error) {
		id, numbered := numberOf(name)
		next := uint64(1)
		for _, m := range members {
			next = max(next, m.id+1)
			if numbered && m.id == id {
				return change{}, fmt.Errorf("%w: member %d", kvdb.ErrExist, id)
			}
		}
		if !numbered {
			id = next
		}
		line := fmt.Sprintf("server.%d=%s:%d:%s;%s", id, net.JoinHostPort(ip, port), peer+voteOffset, role, clientPort(members, ip))
		return change{joining: []string{line}}, nil
	})
}

// clientPort returns the port on which a new member serves clients: that of the
// first member, or the next one that is free where members share an address.
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

// numberOf returns the number that a member's name stands for.
func numberOf(name string) (uint64, bool) {
	id, err := strconv.ParseUint(strings.TrimPrefix(name, "server."), 10, 64)
	return id, err == nil
}

// RemoveMember implements [driver.MemberAdmin].
func (s *store) RemoveMember(ctx context.Context, nodeName, nodeIP string) error {
	id, numbered := numberOf(nodeName)
	return s.remove(ctx, func(m member) bool { return numbered && m.id == id && m.host == nodeIP })
}

// RemoveMemberByID implements [driver.MemberAdmin].
func (s *store) RemoveMemberByID(ctx context.Context, memberID uint64) error {
	return s.remove(ctx, func(m member) bool { return m.id == memberID })
}

// remove removes a member, and its endpoint.
func (s *store) remove(ctx context.Context, wanted func(member) bool) error {
	client := ""
	_, err := s.reconfigure(ctx, func(members []member) (change, error) {
		for _, m := range members {
			if wanted(m) {
				client = m.client
				return change{leaving: []string{strconv.FormatUint(m.id, 10)}}, nil
			}
		}
		return change{}, kvdb.ErrMemberDoesNotExist
	})
	if err != nil && err != kvdb.ErrMemberDoesNotExist { // which was removed before
		return err
	}
	return s.dropEndpoint(ctx, client)
}

// dropEndpoint makes an address none of the endpoints, unless there is no other one.
func (s *store) dropEndpoint(ctx context.Context, address string) error {
	endpoints := s.GetEndpoints(ctx)
	parsed, err := settings.ZooKeeper.Replace(endpoints, s.secure)
	if err != nil {
		return err
	}
	var kept []string
	for i, e := range parsed {
		if e.Address() != address {
			kept = append(kept, endpoints[i])
		}
	}
	if len(kept) == 0 || len(kept) == len(endpoints) {
		return nil
	}
	return s.SetEndpoints(ctx, kept)
}

// UpdateMember implements [driver.MemberAdmin]. The member's other ports stay.
func (s *store) UpdateMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	id, numbered := numberOf(nodeName)
	return s.reconfigure(ctx, func(members []member) (change, error) {
		for _, m := range members {
			if numbered && m.id == id {
				rest := strings.TrimPrefix(m.line, net.JoinHostPort(m.host, m.port))
				line := fmt.Sprintf("server.%d=%s%s", id, net.JoinHostPort(nodeIP, nodePeerPort), rest)
				return change{joining: []string{line}}, nil
			}
		}
		return change{}, kvdb.ErrMemberDoesNotExist
	})
}

// SetEndpoints implements [driver.MemberAdmin]. A connection that works is kept.
func (s *store) SetEndpoints(_ context.Context, endpoints []string) error {
	parsed, err := settings.ZooKeeper.Replace(endpoints, s.secure)
	if err != nil {
		return err
	}
	s.servers.Set(parsed)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = append([]string{}, endpoints...)
	return nil
}

// GetEndpoints implements [driver.MemberAdmin].
func (s *store) GetEndpoints(context.Context) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.endpoints...)
}
