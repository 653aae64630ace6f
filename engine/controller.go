package engine

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// AddMember implements kvdb.Controller.
func (kv *view) AddMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	ctx, cancel, err := kv.begin()
	if err != nil {
		return nil, err
	}
	defer cancel()
	return kv.members.AddMember(ctx, nodeIP, nodePeerPort, nodeName)
}

// AddLearner implements kvdb.Controller.
func (kv *view) AddLearner(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	ctx, cancel, err := kv.begin()
	if err != nil {
		return nil, err
	}
	defer cancel()
	return kv.members.AddLearner(ctx, nodeIP, nodePeerPort, nodeName)
}

// RemoveMember implements kvdb.Controller.
func (kv *view) RemoveMember(nodeName, nodeIP string) error {
	ctx, cancel, err := kv.begin()
	if err != nil {
		return err
	}
	defer cancel()
	return kv.members.RemoveMember(ctx, nodeName, nodeIP)
}

// RemoveMemberByID implements kvdb.Controller.
func (kv *view) RemoveMemberByID(memberID uint64) error {
	ctx, cancel, err := kv.begin()
	if err != nil {
		return err
	}
	defer cancel()
	return kv.members.RemoveMemberByID(ctx, memberID)
}

// UpdateMember implements kvdb.Controller.
func (kv *view) UpdateMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	ctx, cancel, err := kv.begin()
	if err != nil {
		return nil, err
	}
	defer cancel()
	return kv.members.UpdateMember(ctx, nodeIP, nodePeerPort, nodeName)
}

// ListMembers implements kvdb.Controller.
func (kv *view) ListMembers() (map[uint64]*kvdb.MemberInfo, error) {
	ctx, cancel, err := kv.begin()
	if err != nil {
		return nil, err
	}
	defer cancel()
	members, err := kv.members.ListMembers(ctx)
	if err == nil && driver.GivenUp(ctx) {
		err = driver.WithCause(ctx, nil) // members that were not asked in time look as if they were down
	}
	return members, err
}

// SetEndpoints implements kvdb.Controller.
func (kv *view) SetEndpoints(endpoints []string) error {
	ctx, cancel, err := kv.begin()
	if err != nil {
		return err
	}
	defer cancel()
	return kv.members.SetEndpoints(ctx, endpoints)
}

// Defragment implements kvdb.Controller. The caller's timeout applies instead of the store's
// time limit for a call.
func (kv *view) Defragment(endpoint string, timeout int) error {
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
