package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestJSON(t *testing.T) {
	entry := BootstrapEntry{
		IP: "10.0.0.1", ID: "node", Index: 2, State: BootstrapNodeStateSuspectDown,
		Type: BootstrapNodeTypeMember, Ts: time.Date(2024, 7, 30, 1, 2, 3, 0, time.UTC), Version: "v",
		EntryVersion: 4, PeerPort: "9018", ClientPort: "9019", Domain: "domain",
		DataDirType: BtrfsSubvolume, DiskUUID: "uuid", IsStorageless: true, Zone: "zone",
	}
	const encoded = `{"IP":"10.0.0.1","ID":"node","Index":2,"State":3,"Type":2,"Ts":"2024-07-30T01:02:03Z",` +
		`"Version":"v","EntryVersion":4,"peerport":"9018","clientport":"9019","Domain":"domain",` +
		`"DataDirType":"BtrfsSubvolume","DiskUUID":"uuid","IsStorageless":true,"Zone":"zone"}`
	got, err := json.Marshal(entry)
	require.NoError(t, err)
	require.Equal(t, encoded, string(got))

	var decoded BootstrapEntry
	require.NoError(t, json.Unmarshal([]byte(encoded), &decoded))
	require.Equal(t, entry, decoded)
}

// An entry without ports has no port fields in its JSON.
func TestJSONWithoutPorts(t *testing.T) {
	got, err := json.Marshal(BootstrapEntry{})
	require.NoError(t, err)
	require.Equal(t, `{"IP":"","ID":"","Index":0,"State":0,"Type":0,"Ts":"0001-01-01T00:00:00Z",`+
		`"Version":"","EntryVersion":0,"Domain":"","DataDirType":"","DiskUUID":"",`+
		`"IsStorageless":false,"Zone":""}`, string(got))
}

// Nodes of earlier releases read these values.
func TestValues(t *testing.T) {
	require.Equal(t, []NodeState{0, 1, 2, 3}, []NodeState{BootstrapNodeStateNone,
		BootstrapNodeStateInProgress, BootstrapNodeStateOperational, BootstrapNodeStateSuspectDown})
	require.Equal(t, []NodeType{0, 1, 2}, []NodeType{BootstrapNodeTypeNone,
		BootstrapNodeTypeLeader, BootstrapNodeTypeMember})
	require.Equal(t, []Type{"MetadataDevice", "KvdbDevice", "BtrfsSubvolume"},
		[]Type{MetadataDevice, KvdbDevice, BtrfsSubvolume})
}
