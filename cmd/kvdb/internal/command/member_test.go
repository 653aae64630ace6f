package command

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

func TestMemberWithoutCluster(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	for _, args := range []string{"ls", "add m 127.0.0.1:1", "learner m 127.0.0.1:1", "update m 127.0.0.1:1", "rm --yes m"} {
		args := append([]string{"member"}, strings.Fields(args)...)
		sh.fails(exitIllegal, "a bolt file has no members", args...)
		sh.fails(exitIllegal, "a store in memory has no members", append(args, "-s", "mem:")...)
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.1:", ":1", "127.0.0.1:0", "127.0.0.1:65536", "::1:1", ""} {
		sh.fails(exitUsage, "must be HOST:PORT", "member", "add", "m", address)
	}
	sh.fails(exitUsage, "arguments are missing: use kvdb member add NAME HOST:PORT", "member", "add", "m")
	sh.fails(exitUsage, "arguments are missing: use kvdb member rm NAME|ID", "member", "rm")
	sh.fails(exitUsage, `did you mean "learner"`, "member", "lerner")
}

func TestFindMember(t *testing.T) {
	members := []member{{ID: "1", Name: "2"}, {ID: "2", Name: "b"}, {ID: "3", Name: "c"}, {ID: "4", Name: "c"}, {ID: "5"}}
	for wanted, id := range map[string]string{"1": "1", "2": "2", "b": "2", "5": "5"} {
		m, err := find(members, wanted)
		require.NoError(t, err)
		require.Equal(t, id, m.ID, "an ID is unique, a name may not be")
	}
	_, err := find(members, "c")
	require.EqualError(t, err, `2 members have the name "c": use the ID of one`)
	for _, wanted := range []string{"", "x"} {
		_, err = find(members, wanted)
		require.ErrorIs(t, err, kvdb.ErrMemberDoesNotExist)
	}
}

func TestMemberRows(t *testing.T) {
	var shown []string
	for r := range memberRows([]member{
		{ID: "1", Name: "a", Started: true, Healthy: true, Leader: true, Size: 1024, Clients: []string{"http://a:1", "https://a:2"}},
		{ID: "2", Name: "b", Started: true, Healthy: true, Learner: true},
		{ID: "3", Name: "c", Started: true, Healthy: true},
		{ID: "4", Name: "d", Started: true, Leader: true, Peers: []string{"http://d:1"}},
		{ID: "5"},
	}) {
		shown = append(shown, strings.Join(r.cells, " ")+" "+string(r.raw))
	}
	require.Equal(t, []string{
		"a leader a:1,a:2 - 1 1\n", "b learner - - 2 2\n", "c healthy - - 3 3\n", "d unhealthy - d:1 4 4\n", "- not started - - 5 5\n",
	}, shown)
	require.Equal(t, "a: leader, 1.0 KiB, a:1, a:2", member{
		Name: "a", Leader: true, Started: true, Healthy: true, Size: 1024, Clients: []string{"http://a:1", "https://a:2"},
	}.summary())
	require.Equal(t, "5: not started", member{ID: "5"}.summary())
}

// The raw form is what etcd wants.
func TestPeerRows(t *testing.T) {
	var raw, cells string
	for r := range peerRows(map[string][]string{"b": {"http://b"}, "a": {"http://a", "http://a2"}}) {
		raw += string(r.raw)
		cells += fmt.Sprint(r.cells)
	}
	require.Equal(t, "a=http://a,a=http://a2,b=http://b\n", raw)
	require.Equal(t, "[a http://a,http://a2][b http://b]", cells)
}
