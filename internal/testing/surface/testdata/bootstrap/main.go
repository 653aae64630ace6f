// This program uses everything that package api/bootstrap exports. The package is named
// api.
package main

import (
	"time"

	"github.com/portworx/kvdb/api/bootstrap"
)

const (
	_ api.NodeState = api.BootstrapNodeStateNone
	_ api.NodeState = api.BootstrapNodeStateInProgress
	_ api.NodeState = api.BootstrapNodeStateOperational
	_ api.NodeState = api.BootstrapNodeStateSuspectDown
	_ api.NodeType  = api.BootstrapNodeTypeNone
	_ api.NodeType  = api.BootstrapNodeTypeLeader
	_ api.NodeType  = api.BootstrapNodeTypeMember
	_ api.Type      = api.MetadataDevice
	_ api.Type      = api.KvdbDevice
	_ api.Type      = api.BtrfsSubvolume
)

var (
	_ = string(api.Type(""))
	_ = string(api.DomainName(""))
	_ = int(api.NodeState(0))
	_ = int(api.NodeType(0))
	_ = api.BootstrapEntry{
		IP:            string(""),
		ID:            string(""),
		Index:         int(0),
		State:         api.NodeState(0),
		Type:          api.NodeType(0),
		Ts:            time.Time{},
		Version:       string(""),
		EntryVersion:  int(0),
		PeerPort:      string(""),
		ClientPort:    string(""),
		Domain:        api.DomainName(""),
		DataDirType:   api.Type(""),
		DiskUUID:      string(""),
		IsStorageless: bool(false),
		Zone:          string(""),
	}
)

func main() {}
