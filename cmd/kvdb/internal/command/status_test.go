package command

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

func TestStatus(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	var state status
	require.NoError(t, json.Unmarshal([]byte(sh.ok("status", "-o", "json")), &state))
	require.Positive(t, state.Ping)
	require.Equal(t, status{
		Store: strings.TrimPrefix(sh.env.Environ[1], "KVDB_STORE="), Backend: "bolt-kv", Version: kvdb.BoltVersion1, Reachable: true,
		Ping: state.Ping, Endpoints: state.Endpoints, Members: []member{},
		Capabilities: capabilities{OrderedUpdates: true, TTL: true, EmptyValues: true, KeyAboveKeys: true, Transactions: true},
		Limits:       limits{MaxKey: 32 << 10, MaxValue: 64 << 20, MaxTTL: state.Limits.MaxTTL},
	}, state)
	require.Equal(t, "yes\n", sh.ok("status", "-o", "raw"))

	table := sh.ok("status")
	for _, line := range []string{
		"PROPERTY                 VALUE", "backend                  bolt-kv", "reachable                yes",
		"every change is watched  yes", "largest value            64.0 MiB", "keys in a transaction    -", "TTL                      from 1s to 876000h",
	} {
		require.Contains(t, table, line+"\n")
	}
	require.NotContains(t, table, "NAME", "a bolt file has no members")
	for line := range strings.Lines(table) {
		require.LessOrEqual(t, width(strings.TrimSuffix(line, "\n")), defaultWidth)
	}

	sh.fails(exitUsage, "there is no file", "-s", "bolt:missing.db", "status")
	sh.fails(exitUsage, "too many arguments: use kvdb status", "status", "a")
}

// The properties are those of the store.
func TestStatusProperties(t *testing.T) {
	state := status{
		Error: "no", Endpoints: []string{"http://a:1", "http://b:1"}, MembersError: "denied",
		Limits: limits{MaxValue: 3 << 19, MaxTxOps: 128, ServerDefaults: true, MinTTL: 5},
	}
	var text []string
	for _, property := range state.properties() {
		text = append(text, strings.Join(property, ": "))
	}
	require.Subset(t, text, []string{
		"reachable: no", "endpoint: http://a:1", "endpoint: http://b:1", "members: not known: denied", "TTL: no",
		"largest value: 1.5 MiB, unless the server is configured otherwise", "keys in a transaction: 128", "largest key: -",
	})
	require.NotContains(t, strings.Join(text, "\n"), "ping")
	state.Capabilities.TTL = true
	require.Equal(t, "from 5s", state.ttls())
}

func TestRoundTime(t *testing.T) {
	for seconds, want := range map[float64]string{0.001234567: "1.23ms", 12.3456: "12.3s", 0.000000012: "12ns", 0.9996: "1s"} {
		require.Equal(t, want, roundTime(seconds))
	}
}
