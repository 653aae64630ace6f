// Package api has the entry that a node of an internal kvdb cluster leaves for
// the other nodes while the cluster comes up. Nodes of different releases read
// each other's entries: the JSON names and the numbers do not change.
package api

import "time"

// NodeState is how far a node is in joining the kvdb cluster.
type NodeState int

const (
	// BootstrapNodeStateNone is the state of a node that has not begun.
	BootstrapNodeStateNone NodeState = iota
	// BootstrapNodeStateInProgress is the state of a node that is joining.
	BootstrapNodeStateInProgress
	// BootstrapNodeStateOperational is the state of a node that is a member.
	BootstrapNodeStateOperational
	// BootstrapNodeStateSuspectDown is the state of a member that others
	// believe to be down.
	BootstrapNodeStateSuspectDown
)

// NodeType is the part that a node plays in the kvdb cluster.
type NodeType int

const (
	// BootstrapNodeTypeNone is the type of a node that has no part yet.
	BootstrapNodeTypeNone NodeType = iota
	// BootstrapNodeTypeLeader is the type of the node that starts the cluster.
	BootstrapNodeTypeLeader
	// BootstrapNodeTypeMember is the type of a node that joins it.
	BootstrapNodeTypeMember
)

// Type is the kind of storage that a node keeps its data directory on.
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

// BootstrapEntry is what a node tells about itself.
type BootstrapEntry struct {
	// IP is the address of the node.
	IP string
	// ID is the ID of the node.
	ID string
	// Index is the node's place among the entries.
	Index int
	// State is how far the node is.
	State NodeState
	// Type is the node's part in the cluster.
	Type NodeType
	// Ts is the time at which the node last wrote its entry.
	Ts time.Time
	// Version is the version of the software on the node.
	Version string
	// EntryVersion is the version of the form of this entry.
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
	// IsStorageless says that the node contributes no storage.
	IsStorageless bool
	// Zone is the availability zone that the node is in.
	Zone string
}
