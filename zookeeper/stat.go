package zookeeper

import (
	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// isEphemeral reports whether a znode belongs to a session.
func isEphemeral(stat *zk.Stat) bool { return stat.EphemeralOwner != 0 }

// isKey reports whether a znode is a key: neither a directory nor a lock.
func isKey(stat *zk.Stat) bool { return stat.DataLength > 0 && !isEphemeral(stat) }

// lastChange returns the largest zxid of a change of a znode or of the list of its children.
func lastChange(stat *zk.Stat) int64 { return max(stat.Mzxid, stat.Czxid, stat.Pzxid) }

func pairOf(key string, data []byte, stat *zk.Stat) *kvdb.KVPair {
	return &kvdb.KVPair{Key: key, Value: data, CreatedIndex: uint64(stat.Czxid), ModifiedIndex: uint64(stat.Mzxid)}
}

func indexesOf(stat *zk.Stat) driver.Indexes {
	return driver.Indexes{Created: uint64(stat.Czxid), Modified: uint64(stat.Mzxid)}
}
