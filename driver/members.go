package driver

import (
	"context"

	"github.com/portworx/kvdb"
)

// MemberAdmin is a Store whose servers can be managed. The engine implements
// kvdb.Controller over it, whose comments say what each method does. Without it
// the instance's Controller is kvdb.ErrNotSupported; a Store that can do some of
// it embeds MembersNotSupported. Profile.OpTimeout bounds the ctx of each method
// but Defragment.
type MemberAdmin interface {
	// AddMember returns the peer URLs of all members, by the members' names.
	AddMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)
	// AddLearner is AddMember of a member that has no vote.
	AddLearner(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)
	// RemoveMember returns nil for a member that is not there.
	RemoveMember(ctx context.Context, nodeName, nodeIP string) error
	// RemoveMemberByID is RemoveMember by a key of what ListMembers returns.
	RemoveMemberByID(ctx context.Context, memberID uint64) error
	// UpdateMember returns what AddMember does.
	UpdateMember(ctx context.Context, nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)
	// ListMembers returns the members by their IDs.
	ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error)
	// SetEndpoints replaces the endpoints that the store uses.
	SetEndpoints(ctx context.Context, endpoints []string) error
	// GetEndpoints returns the endpoints as they were given. It asks no server, and
	// may be called with a ctx that has ended, and after Close.
	GetEndpoints(ctx context.Context) []string
	// Defragment takes timeout in seconds; what 0 means is the store's to say. Its
	// ctx has no time limit but the caller's.
	Defragment(ctx context.Context, endpoint string, timeout int) error
}

// MembersNotSupported implements MemberAdmin: each method is kvdb.ErrNotSupported,
// and there are no endpoints.
type MembersNotSupported struct{}

var _ MemberAdmin = MembersNotSupported{}

// AddMember is kvdb.ErrNotSupported.
func (MembersNotSupported) AddMember(context.Context, string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}

// AddLearner is kvdb.ErrNotSupported.
func (MembersNotSupported) AddLearner(context.Context, string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}

// RemoveMember is kvdb.ErrNotSupported.
func (MembersNotSupported) RemoveMember(context.Context, string, string) error {
	return kvdb.ErrNotSupported
}

// RemoveMemberByID is kvdb.ErrNotSupported.
func (MembersNotSupported) RemoveMemberByID(context.Context, uint64) error {
	return kvdb.ErrNotSupported
}

// UpdateMember is kvdb.ErrNotSupported.
func (MembersNotSupported) UpdateMember(context.Context, string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}

// ListMembers is kvdb.ErrNotSupported.
func (MembersNotSupported) ListMembers(context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	return nil, kvdb.ErrNotSupported
}

// SetEndpoints is kvdb.ErrNotSupported.
func (MembersNotSupported) SetEndpoints(context.Context, []string) error {
	return kvdb.ErrNotSupported
}

// GetEndpoints returns an empty list.
func (MembersNotSupported) GetEndpoints(context.Context) []string { return []string{} }

// Defragment is kvdb.ErrNotSupported.
func (MembersNotSupported) Defragment(context.Context, string, int) error {
	return kvdb.ErrNotSupported
}
