package driver

import (
	"context"

	"github.com/portworx/kvdb"
)

// MemberAdmin is a Store whose servers can be managed. The engine implements
// kvdb.Controller over it; the comments there say what each method does. The methods of the
// Controller of another Store return kvdb.ErrNotSupported. A Store that implements only
// some methods embeds MembersNotSupported. Profile.OpTimeout bounds the ctx of each method
// except Defragment.
type MemberAdmin interface {
	// AddMember returns the peer URLs of all members, by the members' names.
	AddMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)
	// AddLearner is like AddMember, for a member that has no vote.
	AddLearner(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)
	// RemoveMember returns nil if there is no such member.
	RemoveMember(ctx context.Context, nodeName, nodeIP string) error
	// RemoveMemberByID is like RemoveMember. memberID is a key of the map that ListMembers
	// returns.
	RemoveMemberByID(ctx context.Context, memberID uint64) error
	// UpdateMember returns the same as AddMember.
	UpdateMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)
	// ListMembers returns the members by their IDs.
	ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error)
	// SetEndpoints replaces the endpoints that the store uses.
	SetEndpoints(ctx context.Context, endpoints []string) error
	// GetEndpoints returns the endpoints as they were given. It sends no request. The
	// engine may call it with a ctx that has ended, and after Close.
	GetEndpoints(ctx context.Context) []string
	// Defragment takes timeout in seconds; the store defines what 0 means. ctx has no time
	// limit other than the caller's.
	Defragment(ctx context.Context, endpoint string, timeout int) error
}

// MembersNotSupported implements MemberAdmin. Each method returns kvdb.ErrNotSupported, and
// GetEndpoints an empty list.
type MembersNotSupported struct{}

var _ MemberAdmin = MembersNotSupported{}

// AddMember returns kvdb.ErrNotSupported.
func (MembersNotSupported) AddMember(context.Context, string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}

// AddLearner returns kvdb.ErrNotSupported.
func (MembersNotSupported) AddLearner(context.Context, string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}

// RemoveMember returns kvdb.ErrNotSupported.
func (MembersNotSupported) RemoveMember(context.Context, string, string) error {
	return kvdb.ErrNotSupported
}

// RemoveMemberByID returns kvdb.ErrNotSupported.
func (MembersNotSupported) RemoveMemberByID(context.Context, uint64) error {
	return kvdb.ErrNotSupported
}

// UpdateMember returns kvdb.ErrNotSupported.
func (MembersNotSupported) UpdateMember(context.Context, string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}

// ListMembers returns kvdb.ErrNotSupported.
func (MembersNotSupported) ListMembers(context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	return nil, kvdb.ErrNotSupported
}

// SetEndpoints returns kvdb.ErrNotSupported.
func (MembersNotSupported) SetEndpoints(context.Context, []string) error {
	return kvdb.ErrNotSupported
}

// GetEndpoints returns an empty list.
func (MembersNotSupported) GetEndpoints(context.Context) []string { return []string{} }

// Defragment returns kvdb.ErrNotSupported.
func (MembersNotSupported) Defragment(context.Context, string, int) error {
	return kvdb.ErrNotSupported
}
