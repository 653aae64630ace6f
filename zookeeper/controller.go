package zookeeper

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/settings"
)

// voteOffset is the difference between the two ports of members that this library adds: for
// followers, and for elections (2888 and 3888 by custom).
const voteOffset = 1000

// ListMembers implements [driver.MemberAdmin]. A member's name is server. and its number. Each
// member is asked whether it runs, and leads.
func (s *store) ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	members, _, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]*kvdb.MemberInfo, len(members))
	err = parallel(ctx, len(members), func(i int) error {
		all[i] = s.memberInfo(ctx, members[i])
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

// AddMember implements [driver.MemberAdmin]. nodeName is the member's number, with or without
// server. in front. Another name gets the next free number. The port for elections is
// nodePeerPort + 1000. The port for clients is that of the first member, or the next one that is
// free at nodeIP.
func (s *store) AddMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return s.addMember(ctx, nodeIP, nodePeerPort, nodeName, "participant")
}

// AddLearner implements [driver.MemberAdmin]. It is AddMember of an observer.
func (s *store) AddLearner(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return s.addMember(ctx, nodeIP, nodePeerPort, nodeName, "observer")
}

func (s *store) addMember(ctx context.Context, ip, port, name, role string) (map[string][]string, error) {
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

// RemoveMember implements [driver.MemberAdmin].
func (s *store) RemoveMember(ctx context.Context, nodeName, nodeIP string) error {
	id, numbered := numberOf(nodeName)
	return s.removeMember(ctx, func(m member) bool { return numbered && m.id == id && m.host == nodeIP })
}

// RemoveMemberByID implements [driver.MemberAdmin].
func (s *store) RemoveMemberByID(ctx context.Context, memberID uint64) error {
	return s.removeMember(ctx, func(m member) bool { return m.id == memberID })
}

// removeMember removes a member, and its endpoint. One that was removed before is no error.
func (s *store) removeMember(ctx context.Context, wanted func(member) bool) error {
	client := ""
	_, err := s.reconfigure(ctx, func(members []member) (change, error) {
		i := slices.IndexFunc(members, wanted)
		if i < 0 {
			return change{}, kvdb.ErrMemberDoesNotExist
		}
		client = members[i].client
		return change{leaving: []string{strconv.FormatUint(members[i].id, 10)}}, nil
	})
	if err != nil && err != kvdb.ErrMemberDoesNotExist {
		return err
	}
	return s.dropEndpoint(ctx, client)
}

// dropEndpoint removes an address from the endpoints, unless it is the only one.
func (s *store) dropEndpoint(ctx context.Context, address string) error {
	endpoints := s.GetEndpoints(ctx)
	parsed, err := settings.ZooKeeper.Replace(endpoints, s.secure)
	if err != nil {
		return err
	}
	var others []string
	for i, e := range parsed {
		if e.Address() != address {
			others = append(others, endpoints[i])
		}
	}
	if len(others) == 0 || len(others) == len(endpoints) {
		return nil
	}
	return s.SetEndpoints(ctx, others)
}

// UpdateMember implements [driver.MemberAdmin]. The member's other ports stay.
func (s *store) UpdateMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	id, numbered := numberOf(nodeName)
	return s.reconfigure(ctx, func(members []member) (change, error) {
		i := slices.IndexFunc(members, func(m member) bool { return numbered && m.id == id })
		if i < 0 {
			return change{}, kvdb.ErrMemberDoesNotExist
		}
		rest := strings.TrimPrefix(members[i].line, members[i].followerURLs()[0])
		return change{joining: []string{fmt.Sprintf("server.%d=%s%s", id, net.JoinHostPort(nodeIP, nodePeerPort), rest)}}, nil
	})
}

// SetEndpoints implements [driver.MemberAdmin]. A connection that works stays.
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
