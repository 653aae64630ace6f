package engine

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// The store's Controller takes no context, so these look at the view's, and at
// Close, before the call only, but for a driver.Defragmenter.

// AddMember implements kvdb.Controller.
func (kv *view) AddMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	if err := kv.usable(); err != nil {
		return nil, err
	}
	return kv.Controller.AddMember(nodeIP, nodePeerPort, nodeName)
}

// AddLearner implements kvdb.Controller.
func (kv *view) AddLearner(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	if err := kv.usable(); err != nil {
		return nil, err
	}
	return kv.Controller.AddLearner(nodeIP, nodePeerPort, nodeName)
}

// RemoveMember implements kvdb.Controller.
func (kv *view) RemoveMember(nodeName, nodeIP string) error {
	if err := kv.usable(); err != nil {
		return err
	}
	return kv.Controller.RemoveMember(nodeName, nodeIP)
}

// RemoveMemberByID implements kvdb.Controller.
func (kv *view) RemoveMemberByID(memberID uint64) error {
	if err := kv.usable(); err != nil {
		return err
	}
	return kv.Controller.RemoveMemberByID(memberID)
}

// UpdateMember implements kvdb.Controller.
func (kv *view) UpdateMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	if err := kv.usable(); err != nil {
		return nil, err
	}
	return kv.Controller.UpdateMember(nodeIP, nodePeerPort, nodeName)
}

// ListMembers implements kvdb.Controller.
func (kv *view) ListMembers() (map[uint64]*kvdb.MemberInfo, error) {
	if err := kv.usable(); err != nil {
		return nil, err
	}
	return kv.Controller.ListMembers()
}

// SetEndpoints implements kvdb.Controller.
func (kv *view) SetEndpoints(endpoints []string) error {
	if err := kv.usable(); err != nil {
		return err
	}
	return kv.Controller.SetEndpoints(endpoints)
}

// Defragment implements kvdb.Controller.
func (kv *view) Defragment(endpoint string, timeout int) error {
	if d, ok := kv.store.(driver.Defragmenter); ok {
		ctx, cancel, err := kv.beginUnbounded()
		if err != nil {
			return err
		}
		defer cancel()
		return d.DefragmentContext(ctx, endpoint, timeout)
	}
	if err := kv.usable(); err != nil {
		return err
	}
	return kv.Controller.Defragment(endpoint, timeout)
}
