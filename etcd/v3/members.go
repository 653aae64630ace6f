package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/settings"
)

const (
	// statusTimeout is how long a member may take to say how it is.
	statusTimeout = 2 * time.Second
	// defragmentTimeout is for a caller who names none.
	defragmentTimeout = time.Minute
)

// AddMember implements [driver.MemberAdmin].
func (s *store) AddMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return s.addMember(ctx, nodeIP, nodePeerPort, nodeName, s.client.MemberAdd)
}

// AddLearner implements [driver.MemberAdmin].
func (s *store) AddLearner(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return s.addMember(ctx, nodeIP, nodePeerPort, nodeName, s.client.MemberAddAsLearner)
}

func (s *store) addMember(ctx context.Context, ip, port, name string,
	add func(context.Context, []string) (*clientv3.MemberAddResponse, error)) (map[string][]string, error) {
	before, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	peer, err := peerURL(before, ip, port)
	if err != nil {
		return nil, err
	}
	// The reply has the members. To ask for them now would be in vain when there
	// was one: two decide nothing before the second runs.
	reply, err := write(ctx, s, func(ctx context.Context) (*clientv3.MemberAddResponse, error) {
		return add(ctx, []string{peer})
	})
	if err != nil {
		return nil, err
	}
	urls := peerURLs(reply.Members)
	delete(urls, memberName(reply.Member))
	urls[name] = reply.Member.PeerURLs
	return urls, nil
}

// peerURL is the URL of a peer that talks to members as they talk to each other.
func peerURL(members []*pb.Member, ip, port string) (string, error) {
	if ip == "" || port == "" {
		return "", fmt.Errorf("%w: a member needs an IP and a peer port, %q and %q are given", kvdb.ErrIllegal, ip, port)
	}
	scheme := "http"
	for _, m := range members {
		for _, peer := range m.PeerURLs {
			if u, err := url.Parse(peer); err == nil {
				scheme = u.Scheme
			}
		}
	}
	return scheme + "://" + net.JoinHostPort(ip, port), nil
}

// memberName is a member's name, or its ID before it has started.
func memberName(m *pb.Member) string {
	if m.Name != "" {
		return m.Name
	}
	return memberID(m.ID)
}

func memberID(id uint64) string { return strconv.FormatUint(id, 16) }

func peerURLs(members []*pb.Member) map[string][]string {
	urls := map[string][]string{}
	for _, m := range members {
		urls[memberName(m)] = m.PeerURLs
	}
	return urls
}

// members returns the members, as the cluster has agreed on.
func (s *store) members(ctx context.Context) ([]*pb.Member, error) {
	reply, err := read(ctx, s, func(ctx context.Context) (*clientv3.MemberListResponse, error) {
		return s.client.MemberList(ctx)
	})
	if err != nil {
		return nil, err
	}
	return reply.Members, nil
}

// member returns the member of that name or, for one that has not started, at
// that IP.
func (s *store) member(ctx context.Context, name, ip string) (*pb.Member, []*pb.Member, error) {
	members, err := s.members(ctx)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(members, func(m *pb.Member) bool { return m.Name != "" && m.Name == name })
	if i < 0 {
		i = slices.IndexFunc(members, func(m *pb.Member) bool { return m.Name == "" && isAt(m, ip) })
	}
	if i < 0 {
		return nil, nil, kvdb.ErrMemberDoesNotExist
	}
	return members[i], members, nil
}

func isAt(m *pb.Member, ip string) bool {
	return slices.ContainsFunc(m.PeerURLs, func(peer string) bool {
		u, err := url.Parse(peer)
		return err == nil && u.Hostname() == ip
	})
}

// RemoveMember implements [driver.MemberAdmin].
func (s *store) RemoveMember(ctx context.Context, nodeName, nodeIP string) error {
	m, members, err := s.member(ctx, nodeName, nodeIP)
	if err == kvdb.ErrMemberDoesNotExist {
		return nil // it was removed before
	}
	if err != nil {
		return err
	}
	return s.removeMember(ctx, m, members)
}

// RemoveMemberByID implements [driver.MemberAdmin].
func (s *store) RemoveMemberByID(ctx context.Context, memberID uint64) error {
	members, err := s.members(ctx)
	if err != nil {
		return err
	}
	m := &pb.Member{ID: memberID}
	if i := slices.IndexFunc(members, func(m *pb.Member) bool { return m.ID == memberID }); i >= 0 {
		m = members[i]
	}
	return s.removeMember(ctx, m, members)
}

// removeMember removes m, which may have been removed before.
func (s *store) removeMember(ctx context.Context, m *pb.Member, members []*pb.Member) error {
	isM := func(other *pb.Member) bool { return other.ID == m.ID }
	_, err := write(ctx, s, func(ctx context.Context) (*clientv3.MemberRemoveResponse, error) {
		return s.client.MemberRemove(ctx, m.ID)
	})
	if errors.Is(err, kvdb.ErrUnknownOutcome) {
		// The member that is removed stops, perhaps before it has answered. The
		// others know.
		if now, listErr := s.members(ctx); listErr == nil && !slices.ContainsFunc(now, isM) {
			err = nil
		}
	}
	if err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return err
	}
	s.leaveEndpoints(m, slices.DeleteFunc(members, isM))
	return nil
}

// leaveEndpoints removes from the endpoints those of a removed member. When all
// are, the endpoints of the other members take their place. An endpoint that
// others have, too, stays: members on several machines may all call theirs
// localhost.
func (s *store) leaveEndpoints(removed *pb.Member, others []*pb.Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	urls, given := s.client.Endpoints(), s.endpoints // of the same order
	var keptURLs, kept []string
	for i, endpoint := range urls {
		serves := func(m *pb.Member) bool { return serves(m, endpoint) }
		if !serves(removed) || slices.ContainsFunc(others, serves) {
			keptURLs, kept = append(keptURLs, endpoint), append(kept, given[i])
		}
	}
	if len(kept) == len(urls) {
		return
	}
	if len(kept) == 0 {
		for _, m := range others {
			kept = append(kept, m.ClientURLs...)
		}
		keptURLs = kept
	}
	if len(kept) > 0 {
		s.endpoints = kept
		s.client.SetEndpoints(keptURLs...)
	}
}

// serves reports whether a member says that it serves clients at endpoint.
func serves(m *pb.Member, endpoint string) bool {
	at, err := url.Parse(endpoint)
	return err == nil && slices.ContainsFunc(m.ClientURLs, func(own string) bool {
		u, err := url.Parse(own)
		return err == nil && strings.EqualFold(u.Host, at.Host)
	})
}

// UpdateMember implements [driver.MemberAdmin].
func (s *store) UpdateMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	m, members, err := s.member(ctx, nodeName, nodeIP)
	if err != nil {
		return nil, err
	}
	peer, err := peerURL(members, nodeIP, nodePeerPort)
	if err != nil {
		return nil, err
	}
	reply, err := write(ctx, s, func(ctx context.Context) (*clientv3.MemberUpdateResponse, error) {
		return s.client.MemberUpdate(ctx, m.ID, []string{peer})
	})
	if err != nil {
		return nil, err
	}
	return peerURLs(reply.Members), nil
}

// ListMembers implements [driver.MemberAdmin]. Without a quorum it tells what one
// member knows, for then the list is wanted most.
func (s *store) ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	members, err := s.listMembers(ctx)
	if err != nil {
		return nil, err
	}
	infos := make(map[uint64]*kvdb.MemberInfo, len(members))
	var asking sync.WaitGroup
	for _, m := range members {
		info := &kvdb.MemberInfo{
			PeerUrls: m.PeerURLs, ID: memberID(m.ID), Name: m.Name,
			HasStarted: m.Name != "", IsLearner: m.IsLearner,
		}
		infos[m.ID] = info
		asking.Go(func() { s.askStatus(ctx, m, info) })
	}
	asking.Wait()
	return infos, nil
}

func (s *store) listMembers(ctx context.Context) ([]*pb.Member, error) {
	quorum, cancel := driver.WithTimeLimit(ctx, attemptTimeout)
	defer cancel()
	members, err := s.members(quorum)
	if err == nil || !errors.Is(err, kvdb.ErrNoConnection) {
		return members, err
	}
	if local := s.anyMembers(ctx); local != nil {
		return local, nil
	}
	return nil, err
}

// anyMembers returns the members as one of them knows them, who answers first;
// nil when none does. The requests of an instance go to the members in turn.
func (s *store) anyMembers(ctx context.Context) []*pb.Member {
	ctx, cancel := driver.WithTimeLimit(ctx, statusTimeout)
	defer cancel()
	n := len(s.client.Endpoints())
	answers := make(chan []*pb.Member, n)
	for range n {
		go func() {
			var members []*pb.Member
			if reply, err := s.client.MemberList(ctx, clientv3.WithSerializable()); err == nil {
				members = reply.Members
			}
			answers <- members
		}()
	}
	for range n {
		if members := <-answers; members != nil {
			return members
		}
	}
	return nil
}

// askStatus asks the member itself how it is, at all its addresses at once. One
// that does not answer is not healthy, and has no addresses for clients.
func (s *store) askStatus(ctx context.Context, m *pb.Member, info *kvdb.MemberInfo) {
	ctx, cancel := driver.WithTimeLimit(ctx, statusTimeout)
	defer cancel()
	answers := make(chan *clientv3.StatusResponse, len(m.ClientURLs))
	for _, endpoint := range m.ClientURLs {
		go func() {
			status, err := s.client.Status(ctx, endpoint)
			if err != nil {
				status = nil
			}
			answers <- status
		}()
	}
	for range m.ClientURLs {
		status := <-answers
		if status == nil || status.Header.MemberId != m.ID || info.IsHealthy {
			continue
		}
		info.ClientUrls = m.ClientURLs
		info.DbSize = status.DbSize
		info.Leader = status.Leader == m.ID
		info.IsHealthy = status.Leader != 0 && len(status.Errors) == 0
		cancel()
	}
}

// SetEndpoints implements [driver.MemberAdmin].
func (s *store) SetEndpoints(_ context.Context, endpoints []string) error {
	parsed, err := settings.Etcd3.Replace(endpoints, s.secure)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = slices.Clone(endpoints)
	s.client.SetEndpoints(settings.URLs(parsed)...)
	return nil
}

// GetEndpoints implements [driver.MemberAdmin].
func (s *store) GetEndpoints(context.Context) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.endpoints)
}

// Defragment implements [driver.MemberAdmin]. A timeout of 0 or less is a minute.
func (s *store) Defragment(ctx context.Context, endpoint string, timeout int) error {
	parsed, err := settings.Etcd3.Replace([]string{endpoint}, s.secure)
	if err != nil {
		return err
	}
	limit := defragmentTimeout
	if timeout > 0 {
		limit = time.Duration(timeout) * time.Second
	}
	limited, cancel := driver.WithTimeLimit(ctx, limit)
	defer cancel()
	if _, err := s.client.Defragment(limited, parsed[0].URL()); err != nil {
		driver.AwaitEnd(limited)
		if ctx.Err() != nil {
			return driver.WithCause(ctx, nil)
		}
		if limited.Err() != nil {
			return fmt.Errorf("%w: defragment %s within %v: %w", kvdb.ErrNoConnection, endpoint, limit, err)
		}
		return refusal(err)
	}
	return nil
}
