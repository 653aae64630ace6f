package etcdv2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/etcd/internal/members"
	"github.com/portworx/kvdb/internal/call"
)

// memberAPI implements members.API.
type memberAPI struct{ *store }

// List implements members.API.
func (s memberAPI) List(ctx context.Context) ([]members.Member, error) {
	return send(ctx, s.pool, repeatable, func(ctx context.Context, c *memberClient) ([]members.Member, error) {
		list, err := c.members.List(ctx)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, errors.New("the reply is not etcd's, because it has no member")
		}
		all := make([]members.Member, len(list))
		for i, m := range list {
			if all[i], err = memberOf(m); err != nil {
				return nil, err
			}
		}
		return all, nil
	})
}

func memberOf(m client.Member) (members.Member, error) {
	id, err := strconv.ParseUint(m.ID, 16, 64)
	if err != nil {
		return members.Member{}, fmt.Errorf("etcd's member ID %q is not a hexadecimal number: %w", m.ID, err)
	}
	return members.Member{ID: id, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs}, nil
}

// Add implements members.API.
func (s memberAPI) Add(ctx context.Context, peer string, _ bool) (added members.Member, all []members.Member, err error) {
	m, err := send(ctx, s.pool, once, func(ctx context.Context, c *memberClient) (*client.Member, error) {
		return c.members.Add(ctx, peer)
	})
	if err != nil {
		return added, nil, err
	}
	added, err = memberOf(*m)
	return added, nil, err
}

// Update implements members.API.
func (s memberAPI) Update(ctx context.Context, m members.Member, peer string) error {
	_, err := send(ctx, s.pool, once, func(ctx context.Context, c *memberClient) (struct{}, error) {
		return struct{}{}, c.members.Update(ctx, m.HexID(), []string{peer})
	})
	return err
}

// Remove implements members.API.
func (s memberAPI) Remove(ctx context.Context, m members.Member) error {
	_, err := send(ctx, s.pool, once, func(ctx context.Context, c *memberClient) (struct{}, error) {
		return struct{}{}, c.members.Remove(ctx, m.HexID())
	})
	if isStatus(err, http.StatusNotFound) || isStatus(err, http.StatusGone) {
		return nil
	}
	return err
}

// ListMembers implements [driver.MemberAdmin]. It does not set DbSize, which the v2 API
// does not report.
func (s *store) ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	all, err := memberAPI{s}.List(ctx)
	if err != nil {
		return nil, err
	}
	return members.Infos(ctx, all, s.addStatus), nil
}

// addStatus asks the member which member leads. A member that does not answer, or knows no
// leader, is not healthy.
func (s *store) addStatus(ctx context.Context, m members.Member, info *kvdb.MemberInfo) {
	for _, endpoint := range m.ClientURLs {
		address, err := url.Parse(endpoint)
		if err != nil {
			continue
		}
		var leader *client.Member
		asked := &member{url: endpoint, address: address.Host, pool: s.pool}
		_, err = s.pool.Try(ctx, asked, func(ctx context.Context, m *member, begun func()) (fate call.Fate, err error) {
			leader, fate, err = attempt(ctx, m, begun, func(ctx context.Context, c *memberClient) (*client.Member, error) {
				return c.members.Leader(ctx)
			})
			return fate, err
		})
		if err == nil {
			info.IsHealthy, info.Leader, info.ClientUrls = true, leader.ID == m.HexID(), m.ClientURLs
			return
		}
	}
}

// AddLearner implements [driver.MemberAdmin]. The v2 API has no learners.
func (s *store) AddLearner(context.Context, string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}

// SetEndpoints implements [driver.MemberAdmin].
func (s *store) SetEndpoints(_ context.Context, endpoints []string) error {
	return s.pool.set(endpoints)
}

// GetEndpoints implements [driver.MemberAdmin].
func (s *store) GetEndpoints(context.Context) []string { return s.pool.Given() }

// Defragment implements [driver.MemberAdmin]. The v2 API cannot defragment.
func (s *store) Defragment(context.Context, string, int) error { return kvdb.ErrNotSupported }
