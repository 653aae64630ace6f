package command

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

func TestDefrag(t *testing.T) {
	sh := newShell(t)
	sh.in(strings.Repeat("x", 1<<20)).ok("put", "a")
	sh.ok("put", "a", "small")
	var done []struct {
		Endpoint string
		Before   int64 `json:"size_before"`
		After    int64 `json:"size_after"`
	}
	require.NoError(t, json.Unmarshal([]byte(sh.ok("defrag", "-o", "json")), &done))
	require.Len(t, done, 1)
	require.Equal(t, "test.db", filepath.Base(done[0].Endpoint))
	require.Greater(t, done[0].Before, int64(1<<20))
	require.Less(t, done[0].After, int64(1<<17))
	require.Equal(t, "small", sh.ok("get", "a"))

	table := strings.Fields(sh.ok("defrag", done[0].Endpoint))
	require.Equal(t, []string{"ENDPOINT", "BEFORE", "AFTER", "TIME"}, table[:4])

	sh.fails(exitIllegal, "this is not the instance's file", "defrag", "other.db")
	sh.fails(exitIllegal, "a store in memory has no file", "-s", "mem:", "defrag")
	sh.fails(exitUsage, "use --cluster or endpoints, not both", "defrag", "--cluster", "a")
	sh.fails(exitIllegal, "a bolt file has no members", "defrag", "--cluster")
	missing := filepath.Join(t.TempDir(), "missing.db")
	sh.fails(exitUsage, "there is no file "+missing, "-s", "bolt:"+missing, "defrag")
	require.NoFileExists(t, missing)
}

// The leader is last, because its pause is the longest for all.
func TestClientURLs(t *testing.T) {
	members := []member{
		{Name: "a", Leader: true, Clients: []string{"http://a", "http://a2"}}, {Name: "b", Clients: []string{"http://b"}}, {ID: "c", Clients: []string{"http://c"}},
	}
	list, err := clientURLs(members)
	require.NoError(t, err)
	require.Equal(t, []string{"http://b", "http://c", "http://a"}, list)
	_, err = clientURLs(append(members, member{ID: "7", Started: true}))
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.EqualError(t, err, "member 7 is unhealthy")
}

func TestCompact(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	sh.fails(exitIllegal, `a bolt file keeps no history; "kvdb defrag" makes it smaller`, "compact", "1")
	sh.fails(exitIllegal, "the history in memory ends with the command", "-s", "mem:", "compact", "--yes", "1")
	for _, index := range []string{"0", "x", "18446744073709551616"} {
		sh.fails(exitUsage, `the index "`+index+`" must be a number from 1`, "compact", index)
	}
	sh.fails(exitUsage, "arguments are missing: use kvdb compact INDEX", "compact")
}
