// Package api has the entry that a node of an internal kvdb cluster writes for the other
// nodes while the cluster starts. Nodes of different releases read each other's entries, so
// the JSON names and the numbers do not change.
package api

import "time"

// NodeState is the progress of a node in joining the kvdb cluster.
type NodeState int

const (
	// BootstrapNodeStateNone is the state of a node that has not begun.
	BootstrapNodeStateNone NodeState = iota
	// BootstrapNodeStateInProgress is the state of a node that is joining.
	BootstrapNodeStateInProgress
	// BootstrapNodeStateOperational is the state of a node that is a member.
	BootstrapNodeStateOperational
	// BootstrapNodeStateSuspectDown is the state of a member that other nodes believe to be
	// down.
	BootstrapNodeStateSuspectDown
)

// NodeType is the role of a node in the kvdb cluster.
type NodeType int

const (
	// BootstrapNodeTypeNone is the type of a node that has no role yet.
	BootstrapNodeTypeNone NodeType = iota
	// BootstrapNodeTypeLeader is the type of the node that starts the cluster.
	BootstrapNodeTypeLeader
	// BootstrapNodeTypeMember is the type of a node that joins the cluster.
	BootstrapNodeTypeMember
)

// Type is the kind of storage that has a node's data directory.
type Type string

const (
	// MetadataDevice is a device shared with other metadata.
	MetadataDevice Type = "MetadataDevice"
	// KvdbDevice is a device for kvdb alone.
	KvdbDevice Type = "KvdbDevice"
	// BtrfsSubvolume is a subvolume of a btrfs file system.
	BtrfsSubvolume Type = "BtrfsSubvolume"
)

// DomainName is the name of a cluster domain.
type DomainName string

// BootstrapEntry describes a node to the other nodes.
type BootstrapEntry struct {
	// IP is the address of the node.
	IP string
	// ID is the ID of the node.
	ID string
	// Index is the position of the node among the entries.
	Index int
	// State is the progress of the node.
	State NodeState
	// Type is the role of the node in the cluster.
	Type NodeType
	// Ts is the time at which the node last wrote its entry.
	Ts time.Time
	// Version is the version of the software on the node.
	Version string
	// EntryVersion is the version of the format of this entry.
	EntryVersion int
	// PeerPort is the port for the other members.
	PeerPort string `json:"peerport,omitempty"`
	// ClientPort is the port for clients.
	ClientPort string `json:"clientport,omitempty"`
	// Domain is the cluster domain that the node is in.
	Domain DomainName
	// DataDirType is the kind of storage of the data directory.
	DataDirType Type
	// DiskUUID is the UUID of the disk that the data directory is on.
	DiskUUID string
	// IsStorageless means that the node contributes no storage.
	IsStorageless bool
	// Zone is the availability zone that the node is in.
	Zone string
}
