package etcdv2

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/settings"
)

// statusTimeout is how long a member may take to say how it is.
const statusTimeout = 2 * time.Second

func (s *store) members(ctx context.Context) ([]client.Member, error) {
	return send(ctx, s.pool, repeatable, func(ctx context.Context, c *memberClient) ([]client.Member, error) {
		members, err := c.members.List(ctx)
		if err == nil && len(members) == 0 { // it cannot be an etcd that has answered
			err = errors.New("the answer names no member")
		}
		return members, err
	})
}

// AddMember implements [driver.MemberAdmin].
func (s *store) AddMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	before, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	peer, err := peerURL(before, nodeIP, nodePeerPort)
	if err != nil {
		return nil, err
	}
	added, err := send(ctx, s.pool, once, func(ctx context.Context, c *memberClient) (*client.Member, error) {
		return c.members.Add(ctx, peer)
	})
	if err != nil {
		return nil, err
	}
	urls := peerURLs(before)
	urls[nodeName] = added.PeerURLs
	return urls, nil
}

// peerURL is the URL of a peer that talks to members as they talk to each other.
func peerURL(members []client.Member, ip, port string) (string, error) {
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
func memberName(m client.Member) string {
	if m.Name != "" {
		return m.Name
	}
	return m.ID
}

func peerURLs(members []client.Member) map[string][]string {
	urls := map[string][]string{}
	for _, m := range members {
		urls[memberName(m)] = m.PeerURLs
	}
	return urls
}

// member returns the member of that name or, for one that has not started, at
// that IP; and all members.
func (s *store) member(ctx context.Context, name, ip string) (client.Member, []client.Member, error) {
	members, err := s.members(ctx)
	if err != nil {
		return client.Member{}, nil, err
	}
	i := slices.IndexFunc(members, func(m client.Member) bool { return m.Name != "" && m.Name == name })
	if i < 0 {
		i = slices.IndexFunc(members, func(m client.Member) bool { return m.Name == "" && isAt(m, ip) })
	}
	if i < 0 {
		return client.Member{}, nil, kvdb.ErrMemberDoesNotExist
	}
	return members[i], members, nil
}

func isAt(m client.Member, ip string) bool {
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
	m := client.Member{ID: strconv.FormatUint(memberID, 16)}
	if i := slices.IndexFunc(members, is(m)); i >= 0 {
		m = members[i]
	}
	return s.removeMember(ctx, m, members)
}

// is returns a function that reports whether a member is m.
func is(m client.Member) func(client.Member) bool {
	return func(other client.Member) bool { return other.ID == m.ID }
}

// removeMember removes m, which may have been removed before.
func (s *store) removeMember(ctx context.Context, m client.Member, members []client.Member) error {
	_, err := send(ctx, s.pool, once, func(ctx context.Context, c *memberClient) (struct{}, error) {
		return struct{}{}, c.members.Remove(ctx, m.ID)
	})
	if errors.Is(err, kvdb.ErrUnknownOutcome) {
		// The member that is removed stops, perhaps before it has answered. The
		// others know.
		if now, listErr := s.members(ctx); listErr == nil && !slices.ContainsFunc(now, is(m)) {
			err = nil
		}
	}
	if err != nil && !isStatus(err, http.StatusNotFound) && !isStatus(err, http.StatusGone) {
		return err
	}
	return s.leaveEndpoints(m, slices.DeleteFunc(members, is(m)))
}

// leaveEndpoints removes from the endpoints those of a removed member. When all
// are, the endpoints of the other members take their place. An endpoint that
// others have, too, stays: members on several machines may all call theirs
// localhost.
func (s *store) leaveEndpoints(removed client.Member, others []client.Member) error {
	given := s.pool.Given()
	parsed, err := settings.Etcd2.Replace(given, s.pool.secure)
	if err != nil {
		return err
	}
	var kept []string
	for i, endpoint := range parsed {
		serves := func(m client.Member) bool { return serves(m, endpoint) }
		if !serves(removed) || slices.ContainsFunc(others, serves) {
			kept = append(kept, given[i])
		}
	}
	if len(kept) == len(given) {
		return nil
	}
	if len(kept) == 0 {
		for _, m := range others {
			kept = append(kept, m.ClientURLs...)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return s.pool.set(kept)
}

// serves reports whether a member says that it serves clients at endpoint.
func serves(m client.Member, endpoint settings.Endpoint) bool {
	return slices.ContainsFunc(m.ClientURLs, func(own string) bool {
		u, err := url.Parse(own)
		return err == nil && strings.EqualFold(u.Host, endpoint.Address())
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
	_, err = send(ctx, s.pool, once, func(ctx context.Context, c *memberClient) (struct{}, error) {
		return struct{}{}, c.members.Update(ctx, m.ID, []string{peer})
	})
	if err != nil {
		return nil, err
	}
	urls := peerURLs(members)
	urls[memberName(m)] = []string{peer}
	return urls, nil
}

// ListMembers implements [driver.MemberAdmin]. The size of a member's data is not
// known to the v2 API.
func (s *store) ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	members, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	infos := make(map[uint64]*kvdb.MemberInfo, len(members))
	var asking sync.WaitGroup
	for _, m := range members {
		id, err := strconv.ParseUint(m.ID, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("etcd names a member %q, which is no ID: %w", m.ID, err)
		}
		info := &kvdb.MemberInfo{
			PeerUrls: m.PeerURLs, ID: m.ID, Name: m.Name, HasStarted: m.Name != "",
		}
		infos[id] = info
		asking.Go(func() { s.askStatus(ctx, m, info) })
	}
	asking.Wait()
	return infos, nil
}

// askStatus asks the member itself who leads. One that does not answer, or does
// not know, is not healthy.
func (s *store) askStatus(ctx context.Context, m client.Member, info *kvdb.MemberInfo) {
	ctx, cancel := driver.WithTimeLimit(ctx, statusTimeout)
	defer cancel()
	for _, endpoint := range m.ClientURLs {
		leader, _, err := attempt(ctx, &member{url: endpoint, pool: s.pool}, func() {}, func(ctx context.Context, c *memberClient) (*client.Member, error) {
			return c.members.Leader(ctx)
		})
		if err == nil {
			info.IsHealthy, info.Leader, info.ClientUrls = true, leader.ID == m.ID, m.ClientURLs
			return
		}
	}
}

// SetEndpoints implements [driver.MemberAdmin].
func (s *store) SetEndpoints(_ context.Context, endpoints []string) error {
	return s.pool.set(endpoints)
}

// GetEndpoints implements [driver.MemberAdmin].
func (s *store) GetEndpoints(context.Context) []string { return s.pool.Given() }
