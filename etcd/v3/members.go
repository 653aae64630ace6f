package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/internal/members"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/settings"
)

// defragmentTimeout bounds Defragment when its caller gives no limit.
const defragmentTimeout = time.Minute

// memberAPI implements members.API.
type memberAPI struct{ *store }

// List implements members.API.
func (s memberAPI) List(ctx context.Context) ([]members.Member, error) {
	reply, err := read(ctx, s.store, func(ctx context.Context) (*clientv3.MemberListResponse, error) {
		return s.client.MemberList(ctx)
	})
	if err != nil {
		return nil, err
	}
	return membersOf(reply.Members), nil
}

func membersOf(list []*pb.Member) []members.Member {
	all := make([]members.Member, len(list))
	for i, m := range list {
		all[i] = memberOf(m)
	}
	return all
}

func memberOf(m *pb.Member) members.Member {
	return members.Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.IsLearner}
}

// Add implements members.API.
func (s memberAPI) Add(ctx context.Context, peer string, learner bool) (added members.Member, all []members.Member, err error) {
	add := s.client.MemberAdd
	if learner {
		add = s.client.MemberAddAsLearner
	}
	reply, err := write(ctx, s.store, func(ctx context.Context) (*clientv3.MemberAddResponse, error) {
		return add(ctx, []string{peer})
	})
	if err != nil {
		return added, nil, err
	}
	return memberOf(reply.Member), membersOf(reply.Members), nil
}

// Update implements members.API.
func (s memberAPI) Update(ctx context.Context, m members.Member, peer string) error {
	_, err := write(ctx, s.store, func(ctx context.Context) (*clientv3.MemberUpdateResponse, error) {
		return s.client.MemberUpdate(ctx, m.ID, []string{peer})
	})
	return err
}

// Remove implements members.API.
func (s memberAPI) Remove(ctx context.Context, m members.Member) error {
	_, err := write(ctx, s.store, func(ctx context.Context) (*clientv3.MemberRemoveResponse, error) {
		return s.client.MemberRemove(ctx, m.ID)
	})
	if errors.Is(err, rpctypes.ErrMemberNotFound) {
		return nil
	}
	return err
}

// ListMembers implements [driver.MemberAdmin]. Without a quorum, when the list is needed
// most, it returns the members as one of them knows them.
func (s *store) ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	quorum, cancel := driver.WithTimeLimit(ctx, call.AttemptTimeout)
	defer cancel()
	all, err := memberAPI{s}.List(quorum)
	if errors.Is(err, kvdb.ErrNoConnection) {
		if local := s.localMembers(ctx); local != nil {
			all, err = local, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return members.Infos(ctx, all, s.addStatus), nil
}

// localMembers returns the members as the first member that answers knows them, or nil
// when none answers. It sends a request per endpoint, because the client library sends
// requests to the endpoints in turn.
func (s *store) localMembers(ctx context.Context) []members.Member {
	ctx, cancel := driver.WithTimeLimit(ctx, members.StatusTimeout)
	defer cancel()
	n := len(s.client.Endpoints())
	answers := make(chan []members.Member, n)
	for range n {
		go func() {
			var all []members.Member
			reply, err := try(ctx, s, call.Once, func(ctx context.Context) (*clientv3.MemberListResponse, error) {
				return s.client.MemberList(ctx, clientv3.WithSerializable())
			})
			if err == nil {
				all = membersOf(reply.Members)
			}
			answers <- all
		}()
	}
	for range n {
		if all := <-answers; all != nil {
			return all
		}
	}
	return nil
}

// addStatus asks the member itself for its status, at all its addresses at once. A
// member that does not answer is not healthy and gets no client URLs.
func (s *store) addStatus(ctx context.Context, m members.Member, info *kvdb.MemberInfo) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan *clientv3.StatusResponse, len(m.ClientURLs))
	for _, endpoint := range m.ClientURLs {
		go func() {
			// After an error status is nil.
			status, _ := try(ctx, s, call.Once, func(ctx context.Context) (*clientv3.StatusResponse, error) {
				return s.client.Status(ctx, endpoint)
			})
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

// Defragment implements [driver.MemberAdmin]. With a timeout of 0 or less it has a
// minute.
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
	_, err = try(limited, s, call.Once, func(ctx context.Context) (*clientv3.DefragmentResponse, error) {
		return s.client.Defragment(ctx, parsed[0].URL())
	})
	if err != nil {
		driver.AwaitEnd(limited)
		if ctx.Err() != nil {
			return driver.WithCause(ctx, nil)
		}
		if limited.Err() != nil {
			return fmt.Errorf("%w: defragment %s within %v: %w", kvdb.ErrNoConnection, endpoint, limit, err)
		}
	}
	return err
}
