package command

import (
	"errors"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/zookeeper"
)

// administration is work that not every store permits.
type administration int

const (
	compacting administration = iota
	defragmenting
	managingMembers
	addingMembers
	managingUsers
)

// instead says by the name of the backend why a store does not permit the work, and what to do.
var instead = map[administration]map[string]string{
	compacting: {
		bolt.Name:      `a bolt file keeps no history; "kvdb defrag" makes it smaller`,
		mem.Name:       "the history in memory ends with the command",
		etcdv2.Name:    "etcd v2 keeps the last 1000 events, and no more",
		consul.Name:    "Consul keeps no history",
		zookeeper.Name: "ZooKeeper keeps no history",
	},
	defragmenting: {
		mem.Name:       "a store in memory has no file",
		etcdv2.Name:    "etcd v2 has its keys in memory and removes old files by itself",
		consul.Name:    "Consul has its keys in memory and removes old files by itself",
		zookeeper.Name: "ZooKeeper has its keys in memory; it removes old files if autopurge.purgeInterval is set",
	},
	managingMembers: {
		bolt.Name: "a bolt file has no members",
		mem.Name:  "a store in memory has no members",
	},
	addingMembers: {
		etcdv2.Name: `etcd v2 has no learners: use "kvdb member add"`,
		consul.Name: "a server of Consul joins when it is started with -retry-join, and its address is that of its configuration",
	},
	managingUsers: {
		bolt.Name:      "who may read a bolt file is up to its mode: use chmod and chown",
		mem.Name:       "a store in memory has no users",
		consul.Name:    `Consul has tokens instead of users: use "consul acl"`,
		zookeeper.Name: "the users of ZooKeeper are in the configuration of its servers",
	},
}

// permits returns the error for a store that is known not to permit the work, before a question
// about it is asked.
func (s *session) permits(work administration) error {
	if instead[work][s.target.Backend] == "" {
		return nil
	}
	return s.advised(kvdb.ErrNotSupported, work)
}

// advised adds what to do instead to the error of a store that does not permit the work. It
// returns other errors as they are.
func (s *session) advised(err error, work ...administration) error {
	if errors.Is(err, kvdb.ErrNotSupported) {
		for _, w := range work {
			if advice := instead[w][s.target.Backend]; advice != "" {
				return advise(err, "%s", advice)
			}
		}
	}
	return err
}
