// Package members administers the members of an etcd cluster. The backends for both
// APIs of etcd share it.
package members

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

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/settings"
)

// StatusTimeout is how long a member may take to report its status.
const StatusTimeout = 2 * time.Second

// Member is a member of a cluster.
type Member struct {
	ID         uint64
	Name       string // "" until the member has started
	PeerURLs   []string
	ClientURLs []string
	IsLearner  bool
}

// HexID returns the ID as etcd prints it.
func (m Member) HexID() string { return strconv.FormatUint(m.ID, 16) }

func (m Member) is(other Member) bool { return m.ID == other.ID }

// hasPeerAt reports whether the member has a peer URL with the IP.
func (m Member) hasPeerAt(ip string) bool {
	return slices.ContainsFunc(m.PeerURLs, func(peer string) bool {
		u, err := url.Parse(peer)
		return err == nil && u.Hostname() == ip
	})
}

// servesAt reports whether the member advertises an address, host:port, to clients.
func (m Member) servesAt(address string) bool {
	return slices.ContainsFunc(m.ClientURLs, func(own string) bool {
		u, err := url.Parse(own)
		return err == nil && strings.EqualFold(u.Host, address)
	})
}

// API is what the two APIs of etcd do in different ways.
type API interface {
	// List returns the members that the cluster has agreed on.
	List(ctx context.Context) ([]Member, error)
	// Add adds a member with a peer URL, and returns it. all are the members after
	// that, or nil if the reply does not have them.
	Add(ctx context.Context, peer string, learner bool) (added Member, all []Member, err error)
	// Update replaces the peer URLs of a member.
	Update(ctx context.Context, m Member, peer string) error
	// Remove removes a member. It returns nil if the member does not exist.
	Remove(ctx context.Context, m Member) error

	// GetEndpoints and SetEndpoints are those of [driver.MemberAdmin].
	GetEndpoints(ctx context.Context) []string
	SetEndpoints(ctx context.Context, endpoints []string) error
}

// Admin implements the methods of [driver.MemberAdmin] that change members.
type Admin struct {
	api    API
	store  settings.Store
	secure bool // whether the endpoints are https

	leaving sync.Mutex // serializes leaveEndpoints
}

// NewAdmin returns an Admin whose endpoints follow the rules of store.
func NewAdmin(api API, store settings.Store, secure bool) *Admin {
	return &Admin{api: api, store: store, secure: secure}
}

// AddMember implements [driver.MemberAdmin].
func (a *Admin) AddMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return a.add(ctx, nodeIP, nodePeerPort, nodeName, false)
}

// AddLearner implements [driver.MemberAdmin].
func (a *Admin) AddLearner(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return a.add(ctx, nodeIP, nodePeerPort, nodeName, true)
}

// add does not list the members afterwards, because that may need the new member: a
// cluster of two has no quorum until the second one runs.
func (a *Admin) add(ctx context.Context, ip, port, name string, learner bool) (map[string][]string, error) {
	before, err := a.api.List(ctx)
	if err != nil {
		return nil, err
	}
	peer, err := peerURL(before, ip, port)
	if err != nil {
		return nil, err
	}
	added, all, err := a.api.Add(ctx, peer, learner)
	if err != nil {
		return nil, err
	}
	if all == nil {
		all = before
	}
	urls := peerURLs(slices.DeleteFunc(all, added.is))
	urls[name] = added.PeerURLs
	return urls, nil
}

// UpdateMember implements [driver.MemberAdmin].
func (a *Admin) UpdateMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	all, err := a.api.List(ctx)
	if err != nil {
		return nil, err
	}
	i := find(all, nodeName, nodeIP)
	if i < 0 {
		return nil, kvdb.ErrMemberDoesNotExist
	}
	peer, err := peerURL(all, nodeIP, nodePeerPort)
	if err != nil {
		return nil, err
	}
	if err := a.api.Update(ctx, all[i], peer); err != nil {
		return nil, err
	}
	all[i].PeerURLs = []string{peer}
	return peerURLs(all), nil
}

// RemoveMember implements [driver.MemberAdmin].
func (a *Admin) RemoveMember(ctx context.Context, nodeName, nodeIP string) error {
	all, err := a.api.List(ctx)
	if err != nil {
		return err
	}
	i := find(all, nodeName, nodeIP)
	if i < 0 {
		return nil // It was removed before.
	}
	return a.remove(ctx, all[i], all)
}

// RemoveMemberByID implements [driver.MemberAdmin].
func (a *Admin) RemoveMemberByID(ctx context.Context, memberID uint64) error {
	all, err := a.api.List(ctx)
	if err != nil {
		return err
	}
	m := Member{ID: memberID}
	if i := slices.IndexFunc(all, m.is); i >= 0 {
		m = all[i]
	}
	return a.remove(ctx, m, all)
}

func (a *Admin) remove(ctx context.Context, m Member, all []Member) error {
	err := a.api.Remove(ctx, m)
	if errors.Is(err, kvdb.ErrUnknownOutcome) {
		// A member that is removed stops, perhaps before it has answered. The others
		// know whether it was removed.
		if now, listErr := a.api.List(ctx); listErr == nil && !slices.ContainsFunc(now, m.is) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	return a.leaveEndpoints(ctx, m, slices.DeleteFunc(all, m.is))
}

// leaveEndpoints removes the endpoints of a removed member. If no endpoint is left,
// those of the other members replace them. It keeps an endpoint that another member
// advertises too, because members on several machines may all advertise localhost.
func (a *Admin) leaveEndpoints(ctx context.Context, removed Member, others []Member) error {
	a.leaving.Lock()
	defer a.leaving.Unlock()
	given := a.api.GetEndpoints(ctx)
	parsed, err := a.store.Replace(given, a.secure)
	if err != nil {
		return err
	}
	var kept []string
	for i, endpoint := range parsed {
		serves := func(m Member) bool { return m.servesAt(endpoint.Address()) }
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
	return a.api.SetEndpoints(ctx, kept)
}

// Infos returns the members as [driver.MemberAdmin] lists them. It calls status for all
// members at once, which adds what a member itself reports to its info within
// StatusTimeout.
func Infos(ctx context.Context, all []Member, status func(context.Context, Member, *kvdb.MemberInfo)) map[uint64]*kvdb.MemberInfo {
	ctx, cancel := driver.WithTimeLimit(ctx, StatusTimeout)
	defer cancel()
	infos := make(map[uint64]*kvdb.MemberInfo, len(all))
	var asking sync.WaitGroup
	for _, m := range all {
		info := &kvdb.MemberInfo{
			PeerUrls: m.PeerURLs, ID: m.HexID(), Name: m.Name, HasStarted: m.Name != "", IsLearner: m.IsLearner,
		}
		infos[m.ID] = info
		asking.Go(func() { status(ctx, m, info) })
	}
	asking.Wait()
	return infos
}

// find returns the index of the member with the name, or of one that has not started
// and has the IP, or -1.
func find(all []Member, name, ip string) int {
	i := slices.IndexFunc(all, func(m Member) bool { return m.Name != "" && m.Name == name })
	if i < 0 {
		i = slices.IndexFunc(all, func(m Member) bool { return m.Name == "" && m.hasPeerAt(ip) })
	}
	return i
}

// peerURL returns a peer URL with the scheme that the members use.
func peerURL(all []Member, ip, port string) (string, error) {
	if ip == "" || port == "" {
		return "", fmt.Errorf("%w: a member requires an IP and a peer port, not %q and %q", kvdb.ErrIllegal, ip, port)
	}
	scheme := "http"
	for _, m := range all {
		for _, peer := range m.PeerURLs {
			if u, err := url.Parse(peer); err == nil {
				scheme = u.Scheme
			}
		}
	}
	return scheme + "://" + net.JoinHostPort(ip, port), nil
}

// peerURLs returns the peer URLs by the members' names, or by their IDs before they
// have started.
func peerURLs(all []Member) map[string][]string {
	urls := map[string][]string{}
	for _, m := range all {
		name := m.Name
		if name == "" {
			name = m.HexID()
		}
		urls[name] = m.PeerURLs
	}
	return urls
}
