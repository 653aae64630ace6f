package test

import (
	"strings"
	"time"

	"github.com/portworx/kvdb"
)

var userGroup = group{name: "Users", calls: "AddUser, RemoveUser, GrantUserAccess, RevokeUsersAccess", cases: []testCase{
	{name: "Access", run: usersAccess, alone: true},
}}

var memberGroup = group{name: "Members", calls: "AddMember, AddLearner, RemoveMember, UpdateMember, ListMembers", cases: []testCase{
	{name: "Members", run: membersOfTheCluster, alone: true},
}}

var endpointGroup = group{name: "Endpoints", calls: "SetEndpoints, GetEndpoints", cases: []testCase{
	{name: "Endpoints", run: endpointsOfTheClient, alone: true},
}}

var defragmentGroup = group{name: "Defragment", calls: "Defragment", cases: []testCase{
	{name: "Defragment", run: defragment, alone: true},
}}

// notSupported asserts that every call is exactly kvdb.ErrNotSupported.
func (e *env) notSupported(calls map[string]func() error) {
	e.t.Helper()
	e.unsupported = true
	for call, f := range calls {
		err := f()
		e.True(err == kvdb.ErrNotSupported, "%s returned %v; by Harness.Traits it must be kvdb.ErrNotSupported itself", call, err)
	}
}

// A user may do in a subtree what was granted, until it is revoked.
func usersAccess(e *env) {
	user, password := "user-"+strings.ToLower(e.domain[len(e.domain)-8:]), "a password"
	if e.traits.NoLogin {
		e.except("logins are `ErrAuthNotSupported`")
		_, err := e.tryOpen(e.domain, map[string]string{kvdb.UsernameKey: user, kvdb.PasswordKey: password}, nil)
		e.is(kvdb.ErrAuthNotSupported, err)
	}
	if !e.traits.Users {
		e.notSupported(map[string]func() error{
			"AddUser":           func() error { return e.kv.AddUser(user, password) },
			"RemoveUser":        func() error { return e.kv.RemoveUser(user) },
			"GrantUserAccess":   func() error { return e.kv.GrantUserAccess(user, kvdb.ReadPermission, "dir") },
			"RevokeUsersAccess": func() error { return e.kv.RevokeUsersAccess(user, kvdb.ReadPermission, "dir") },
		})
		return
	}
	login := func(password string) (kvdb.Kvdb, error) {
		return e.tryOpen(e.domain, map[string]string{kvdb.UsernameKey: user, kvdb.PasswordKey: password}, nil)
	}
	e.put("dir/key", "value")
	e.put("other/key", "value")
	e.NoError(e.kv.AddUser(user, password))
	e.is(kvdb.ErrUnknownPermission, e.kv.GrantUserAccess(user, kvdb.PermissionType(17), "dir/"))
	e.NoError(e.kv.GrantUserAccess(user, kvdb.ReadPermission, "dir/"))
	if e.suite.Options[kvdb.UsernameKey] == "" { // the server lets in anybody
		e.NoError(e.kv.RevokeUsersAccess(user, kvdb.ReadPermission, "dir/"))
		e.NoError(e.kv.RemoveUser(user))
		e.Error(e.kv.RemoveUser(user))
		return
	}
	kv, err := login(password)
	e.NoError(err)
	e.instances = append(e.instances, kv)
	_, err = kv.Get("dir/key")
	e.NoError(err)
	_, err = kv.Get("other/key")
	e.ErrorIs(err, kvdb.ErrPermission)
	_, err = kv.Put("dir/key", "by the user", 0)
	e.ErrorIs(err, kvdb.ErrPermission)
	e.NoError(e.kv.GrantUserAccess(user, kvdb.ReadWritePermission, "dir/"))
	_, err = kv.Put("dir/key", "by the user", 0)
	e.NoError(err)
	e.holds("dir/key", "by the user")
	e.NoError(e.kv.RevokeUsersAccess(user, kvdb.ReadWritePermission, "dir/"))
	_, err = kv.Put("dir/key", "once more", 0)
	e.ErrorIs(err, kvdb.ErrPermission)
	_, err = login("a wrong " + password)
	e.ErrorIs(err, kvdb.ErrLogin)
	e.NotErrorIs(err, kvdb.ErrNoConnection)
	_, err = login("")
	e.is(kvdb.ErrNoPassword, err)
	e.NoError(e.kv.RemoveUser(user))
	_, err = login(password)
	e.ErrorIs(err, kvdb.ErrLogin)
	e.Error(e.kv.RemoveUser(user))
}

// A member that the cluster does not have.
const memberIP, memberPort, memberName = "127.0.0.1", "1", "kvdb-test-member"

func membersOfTheCluster(e *env) {
	add := map[string]func() error{
		"AddMember":    func() error { _, err := e.kv.AddMember(memberIP, memberPort, memberName); return err },
		"AddLearner":   func() error { _, err := e.kv.AddLearner(memberIP, memberPort, memberName); return err },
		"UpdateMember": func() error { _, err := e.kv.UpdateMember(memberIP, memberPort, memberName); return err },
	}
	if !e.traits.Members {
		e.notSupported(add)
		e.notSupported(map[string]func() error{
			"RemoveMember":     func() error { return e.kv.RemoveMember(memberName, memberIP) },
			"RemoveMemberByID": func() error { return e.kv.RemoveMemberByID(1) },
			"ListMembers":      func() error { _, err := e.kv.ListMembers(); return err },
		})
		return
	}
	members := e.membersListed()
	e.removesUnknownMember(members)
	if e.traits.MembersJoin {
		e.except("members join by themselves: `ErrNotSupported`")
		for call, f := range add {
			err := f()
			e.True(err == kvdb.ErrNotSupported, "%s returned %v; by Traits.MembersJoin it must be kvdb.ErrNotSupported itself", call, err)
		}
		return
	}
	_, err := e.kv.UpdateMember(memberIP, memberPort, memberName)
	e.is(kvdb.ErrMemberDoesNotExist, err)
	if e.traits.NoLearners {
		e.except("there are no learners: `ErrNotSupported`")
		_, err := e.kv.AddLearner(memberIP, memberPort, memberName)
		e.is(kvdb.ErrNotSupported, err)
		return
	}
	e.addsLearner(members)
}

// membersListed returns the members after it has checked what ListMembers says of them.
func (e *env) membersListed() map[uint64]*kvdb.MemberInfo {
	members, err := e.kv.ListMembers()
	e.NoError(err)
	if e.suite.Server != nil {
		e.Len(members, e.suite.Server.Members(), "ListMembers lists every member of Harness.Server")
	}
	leaders := 0
	for id, member := range members {
		e.True(member.HasStarted, "HasStarted of member %d", id)
		e.NotEmpty(member.ID, "ID of member %d", id)
		e.NotEmpty(member.ClientUrls, "ClientUrls of member %d", id)
		if member.Leader {
			leaders++
		}
	}
	e.Equal(1, leaders, "exactly one member has Leader set")
	return members
}

// removesUnknownMember asserts that the removal of a member that does not exist changes
// nothing and is no error.
func (e *env) removesUnknownMember(members map[uint64]*kvdb.MemberInfo) {
	e.NoError(e.kv.RemoveMember(memberName, memberIP), "there is no such member")
	unused := uint64(1)
	for members[unused] != nil {
		unused++
	}
	e.NoError(e.kv.RemoveMemberByID(unused), "there is no such member")
	again, err := e.kv.ListMembers()
	e.NoError(err)
	for id, member := range members {
		e.Contains(again, id, "ListMembers has every member at the same number again")
		e.Equal(member.ID, again[id].ID, "ID of member %d", id)
	}
}

// addsLearner adds a learner, which never starts, and removes it. A learner has no vote,
// so the cluster works meanwhile.
func (e *env) addsLearner(before map[uint64]*kvdb.MemberInfo) {
	urls, err := e.kv.AddLearner(memberIP, memberPort, memberName)
	e.NoError(err)
	e.Len(urls, len(before)+1)
	after, err := e.kv.ListMembers()
	e.NoError(err)
	e.Len(after, len(before)+1)
	for id, member := range after {
		if _, old := before[id]; old {
			continue
		}
		e.False(member.HasStarted)
		e.True(member.IsLearner)
		e.NoError(e.kv.RemoveMemberByID(id))
	}
	after, err = e.kv.ListMembers()
	e.NoError(err)
	e.Len(after, len(before))
}

func endpointsOfTheClient(e *env) {
	endpoints := e.kv.GetEndpoints()
	if !e.traits.Endpoints {
		e.notSupported(map[string]func() error{
			"SetEndpoints": func() error { return e.kv.SetEndpoints([]string{"http://127.0.0.1:1"}) },
		})
		return
	}
	e.NotEmpty(endpoints)
	e.Error(e.kv.SetEndpoints(nil))
	e.Equal(endpoints, e.kv.GetEndpoints())
	r := e.watchKey("key", e.put("key", "before").ModifiedIndex)
	e.NoError(e.kv.SetEndpoints(endpoints))
	e.Equal(endpoints, e.kv.GetEndpoints())
	e.put("key", "after")
	r.seesValue("after")
}

// Defragment is for a store in use: nothing is lost, and nothing stops.
func defragment(e *env) {
	endpoint := ""
	if endpoints := e.kv.GetEndpoints(); len(endpoints) > 0 {
		endpoint = endpoints[0]
	}
	call := func() error { return e.kv.Defragment(endpoint, int(patience/time.Second)) }
	if !e.traits.Defragment {
		e.notSupported(map[string]func() error{"Defragment": call})
		return
	}
	for i := range 20 {
		e.put(manyKey(i), "value")
	}
	r := e.watchTree("many/", e.index())
	pair := e.lock(e.kv, "lock", "me")
	before := e.content(e.kv)
	read := func(int) error {
		_, err := e.kv.Get(manyKey(7))
		return err
	}
	e.during(read, 1, func(int) { e.NoError(call()) })
	e.Equal(before, e.content(e.kv))
	last := e.put("many/end", "value")
	r.seesIndex(last.ModifiedIndex)
	e.notLost(pair)
	e.unlock(e.kv, pair)
}
