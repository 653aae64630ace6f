package wrappers

import (
	"errors"
	"strings"

	"github.com/portworx/kvdb"
)

// Users and members of the cluster.

func (w *logWrapper) AddUser(username string, password string) error {
	start := w.log.start()
	err := w.Kvdb.AddUser(username, password)
	w.log.write("AddUser", start, without(err, password), field{"user", username})
	return err
}

// without returns err with every occurrence of secret in its text replaced.
func without(err error, secret string) error {
	if err == nil || secret == "" || !strings.Contains(err.Error(), secret) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), secret, "…"))
}

func (w *logWrapper) RemoveUser(username string) error {
	return w.run("RemoveUser", func() error { return w.Kvdb.RemoveUser(username) }, field{"user", username})
}

func (w *logWrapper) GrantUserAccess(username string, permType kvdb.PermissionType, subtree string) error {
	return w.run("GrantUserAccess", func() error {
		return w.Kvdb.GrantUserAccess(username, permType, subtree)
	}, field{"user", username}, field{"key", subtree})
}

func (w *logWrapper) RevokeUsersAccess(username string, permType kvdb.PermissionType, subtree string) error {
	return w.run("RevokeUsersAccess", func() error {
		return w.Kvdb.RevokeUsersAccess(username, permType, subtree)
	}, field{"user", username}, field{"key", subtree})
}

// changeMembers makes a call that changes the cluster's members.
func (w *logWrapper) changeMembers(op, name, ip string,
	call func() (map[string][]string, error)) (map[string][]string, error) {
	start := w.log.start()
	members, err := call()
	w.log.write(op, start, err, field{"member", name}, field{"ip", ip})
	return members, err
}

func (w *logWrapper) AddMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return w.changeMembers("AddMember", nodeName, nodeIP, func() (map[string][]string, error) {
		return w.Kvdb.AddMember(nodeIP, nodePeerPort, nodeName)
	})
}

func (w *logWrapper) AddLearner(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return w.changeMembers("AddLearner", nodeName, nodeIP, func() (map[string][]string, error) {
		return w.Kvdb.AddLearner(nodeIP, nodePeerPort, nodeName)
	})
}

func (w *logWrapper) UpdateMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return w.changeMembers("UpdateMember", nodeName, nodeIP, func() (map[string][]string, error) {
		return w.Kvdb.UpdateMember(nodeIP, nodePeerPort, nodeName)
	})
}

func (w *logWrapper) RemoveMember(nodeName, nodeIP string) error {
	return w.run("RemoveMember", func() error {
		return w.Kvdb.RemoveMember(nodeName, nodeIP)
	}, field{"member", nodeName}, field{"ip", nodeIP})
}

func (w *logWrapper) RemoveMemberByID(memberID uint64) error {
	return w.run("RemoveMemberByID", func() error {
		return w.Kvdb.RemoveMemberByID(memberID)
	}, field{"member", memberID})
}

func (w *logWrapper) ListMembers() (map[uint64]*kvdb.MemberInfo, error) {
	start := w.log.start()
	members, err := w.Kvdb.ListMembers()
	w.log.write("ListMembers", start, err, field{"count", len(members)})
	return members, err
}

func (w *logWrapper) SetEndpoints(endpoints []string) error {
	return w.run("SetEndpoints", func() error { return w.Kvdb.SetEndpoints(endpoints) }, field{"", endpoints})
}

func (w *logWrapper) Defragment(endpoint string, timeout int) error {
	return w.run("Defragment", func() error {
		return w.Kvdb.Defragment(endpoint, timeout)
	}, field{"endpoint", endpoint})
}
