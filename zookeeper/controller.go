package zookeeper

import (
	"github.com/portworx/kvdb"
)

// errReconfig: the ensemble does not allow what was asked.
var errReconfig = kvdb.ErrNotSupported

func (s *store) AddMember(string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}
func (s *store) AddLearner(string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}
func (s *store) RemoveMember(string, string) error { return kvdb.ErrNotSupported }
func (s *store) RemoveMemberByID(uint64) error     { return kvdb.ErrNotSupported }
func (s *store) UpdateMember(string, string, string) (map[string][]string, error) {
	return nil, kvdb.ErrNotSupported
}
func (s *store) ListMembers() (map[uint64]*kvdb.MemberInfo, error) { return nil, kvdb.ErrNotSupported }
func (s *store) Defragment(string, int) error                      { return kvdb.ErrNotSupported }
func (s *store) SetEndpoints([]string) error                       { return kvdb.ErrNotSupported }
func (s *store) GetEndpoints() []string                            { return nil }
