package engine

import (
	"context"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// administer makes a call about members that returns a result, as an operation.
func administer[T any](kv *view, name string, f func(ctx context.Context) (T, error)) (T, error) {
	var result T
	err := kv.operate(name, "", func(ctx context.Context) (err error) {
		result, err = f(ctx)
		return err
	})
	return result, err
}

// AddMember implements kvdb.Controller.
func (kv *view) AddMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return administer(kv, "add_member", func(ctx context.Context) (map[string][]string, error) {
		return kv.members.AddMember(ctx, nodeIP, nodePeerPort, nodeName)
	})
}

// AddLearner implements kvdb.Controller.
func (kv *view) AddLearner(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return administer(kv, "add_learner", func(ctx context.Context) (map[string][]string, error) {
		return kv.members.AddLearner(ctx, nodeIP, nodePeerPort, nodeName)
	})
}

// RemoveMember implements kvdb.Controller.
func (kv *view) RemoveMember(nodeName, nodeIP string) error {
	return kv.operate("remove_member", "", func(ctx context.Context) error {
		return kv.members.RemoveMember(ctx, nodeName, nodeIP)
	})
}

// RemoveMemberByID implements kvdb.Controller.
func (kv *view) RemoveMemberByID(memberID uint64) error {
	return kv.operate("remove_member_by_id", "", func(ctx context.Context) error {
		return kv.members.RemoveMemberByID(ctx, memberID)
	})
}

// UpdateMember implements kvdb.Controller.
func (kv *view) UpdateMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return administer(kv, "update_member", func(ctx context.Context) (map[string][]string, error) {
		return kv.members.UpdateMember(ctx, nodeIP, nodePeerPort, nodeName)
	})
}

// ListMembers implements kvdb.Controller.
func (kv *view) ListMembers() (map[uint64]*kvdb.MemberInfo, error) {
	return administer(kv, "list_members", func(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error) {
		members, err := kv.members.ListMembers(ctx)
		if err == nil && driver.GivenUp(ctx) {
			err = driver.WithCause(ctx, nil) // members that were not asked in time look as if they were down
		}
		return members, err
	})
}

// SetEndpoints implements kvdb.Controller.
func (kv *view) SetEndpoints(endpoints []string) error {
	return kv.operate("set_endpoints", "", func(ctx context.Context) error {
		return kv.members.SetEndpoints(ctx, endpoints)
	})
}

// Defragment implements kvdb.Controller. The caller's timeout applies instead of the store's
// time limit for a call.
func (kv *view) Defragment(endpoint string, timeout int) (err error) {
	kv, op := kv.start("defragment", "")
	if op != nil {
		defer op.end(&err)
	}
	ctx, cancel, err := kv.beginUnbounded()
	if err != nil {
		return err
	}
	defer cancel()
	return kv.members.Defragment(ctx, endpoint, timeout)
}

// GetEndpoints implements kvdb.Controller. It also works after Close.
func (kv *view) GetEndpoints() []string {
	ctx, cancel := kv.merged()
	defer cancel()
	return kv.members.GetEndpoints(ctx)
}
