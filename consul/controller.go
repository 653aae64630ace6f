package consul

import (
	"context"
	"hash/fnv"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

// selfTimeout is how long an endpoint may take to say which server it is.
const selfTimeout = 2 * time.Second

// memberID returns the hash of the ID of a server of Consul, a UUID, which stays the same as
// long as the server keeps its data.
func memberID(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum64()
}

// ListMembers returns the servers in Consul's raft configuration. IsHealthy is the
// health that its autopilot reports, and false for a server that it does not know yet.
// HasStarted is always true, because a server joins when it has started. ClientUrls are
// the endpoints of this instance that belong to the server; for other servers it is empty,
// because servers do not know the client addresses of each other. DbSize is not set.
func (s *store) ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	servers, err := s.servers(ctx)
	if err != nil {
		return nil, err
	}
	health := map[string]api.ServerHealth{}
	err = s.conn.Call(ctx, conn.Repeatable, func(ctx context.Context, c *api.Client) error {
		reply, err := c.Operator().AutopilotServerHealth((&api.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
		for _, server := range reply.Servers {
			health[server.ID] = server
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	endpoints := s.identify(ctx)
	members := map[uint64]*kvdb.MemberInfo{}
	for _, server := range servers {
		members[memberID(server.ID)] = &kvdb.MemberInfo{
			PeerUrls:   []string{server.Address},
			ClientUrls: endpoints[server.ID],
			Leader:     server.Leader,
			IsHealthy:  health[server.ID].Healthy,
			ID:         server.ID,
			Name:       server.Node,
			HasStarted: true, // otherwise raft would not know it
			IsLearner:  !server.Voter,
		}
	}
	return members, nil
}

// servers returns the servers in Consul's raft configuration.
func (s *store) servers(ctx context.Context) ([]*api.RaftServer, error) {
	var servers []*api.RaftServer
	err := s.conn.Call(ctx, conn.Repeatable, func(ctx context.Context, c *api.Client) error {
		reply, err := c.Operator().RaftGetConfiguration((&api.QueryOptions{}).WithContext(ctx))
		if err == nil {
			servers = reply.Servers
		}
		return err
	})
	return servers, err
}

// identify asks the endpoints which servers they are, and returns the endpoints by the ID
// of the server.
func (s *store) identify(ctx context.Context) map[string][]string {
	ctx, cancel := driver.WithTimeLimit(ctx, selfTimeout)
	defer cancel()
	var mu sync.Mutex // protects urls
	urls := map[string][]string{}
	s.conn.EachEndpoint(ctx, func(ctx context.Context, address string, c *api.Client) error {
		var self map[string]map[string]any
		if _, err := c.Raw().Query("/v1/agent/self", &self, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
			return err
		}
		if id, _ := self["Config"]["NodeID"].(string); id != "" {
			mu.Lock()
			defer mu.Unlock()
			urls[id] = append(urls[id], address)
		}
		return nil
	})
	for _, of := range urls {
		slices.Sort(of)
	}
	return urls
}

// RemoveMember removes the server of that name, and of that IP address if one is
// given, from Consul's raft configuration. A server that still runs joins again.
func (s *store) RemoveMember(ctx context.Context, nodeName, nodeIP string) error {
	return s.removeServer(ctx, func(server *api.RaftServer) bool {
		return server.Node == nodeName && (nodeIP == "" || hostOf(server.Address) == nodeIP)
	})
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// RemoveMemberByID is RemoveMember with a key of the result of ListMembers.
func (s *store) RemoveMemberByID(ctx context.Context, id uint64) error {
	return s.removeServer(ctx, func(server *api.RaftServer) bool { return memberID(server.ID) == id })
}

func (s *store) removeServer(ctx context.Context, wanted func(*api.RaftServer) bool) error {
	servers, err := s.servers(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(servers, wanted)
	if i < 0 {
		return nil // it was removed before
	}
	err = s.conn.Call(ctx, conn.Once, func(ctx context.Context, c *api.Client) error {
		return c.Operator().RaftRemovePeerByID(servers[i].ID, (&api.WriteOptions{}).WithContext(ctx))
	})
	if err != nil {
		// Consul returns an error if another client has removed it in the meantime, and this
		// request may have removed it although its answer was lost.
		if now, listErr := s.servers(ctx); listErr == nil && !slices.ContainsFunc(now, wanted) {
			return nil
		}
	}
	return err
}

// SetEndpoints replaces the endpoints. Blocking queries of those that stay continue.
func (s *store) SetEndpoints(_ context.Context, endpoints []string) error {
	return s.conn.SetEndpoints(endpoints)
}

// GetEndpoints returns the endpoints, as they were given.
func (s *store) GetEndpoints(context.Context) []string { return s.conn.Endpoints() }
