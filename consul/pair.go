package consul

import (
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

const (
	// lockFlags are the flags of a lock, also with Consul's own client.
	lockFlags = api.LockFlagValue
	// ttlFlags are the flags of a value with a TTL. Earlier releases write 0 and
	// ignore the flags of what they read.
	ttlFlags = 0x6b7664622d74746c // "kvdb-ttl"
	// touchFlags are the flags of a write that the same transaction overwrites.
	// Consul skips a write that changes nothing, but of two different writes at
	// least one is a change, whatever the key was before.
	touchFlags = 1
)

// isLock reports whether p is a lock, held or left behind by another program. The
// flags alone do not make one, because the values that earlier releases have
// written with Create or CompareAndSet have them too. But Consul sets LockIndex
// to 0 at each write that neither acquires nor releases a lock.
func isLock(p *api.KVPair) bool { return p.Flags == lockFlags && p.LockIndex > 0 }

// isFree reports whether p is a lock that nobody holds. Consul's own client leaves
// such a key, and earlier releases do so when the holder dies.
func isFree(p *api.KVPair) bool { return isLock(p) && p.Session == "" }

// isValue reports whether p is a value that Get returns.
func isValue(p *api.KVPair) bool { return !isLock(p) && takes(p.Key) }

// values returns the values among pairs that have the prefix; pathOf may have asked
// for more. It reuses pairs.
func values(pairs api.KVPairs, prefix string) api.KVPairs {
	return slices.DeleteFunc(pairs, func(p *api.KVPair) bool {
		return !isValue(p) || !strings.HasPrefix(p.Key, prefix)
	})
}

// check reports whether c holds for what is at a key.
func check(c driver.Cond, p *api.KVPair) error {
	switch {
	case p == nil || isFree(p):
		return c.CheckMissing()
	case isLock(p): // there is no value, and none can be
		if err := c.CheckMissing(); err != nil {
			return err
		}
		return kvdb.ErrInvalidLock
	}
	return c.Check(p.CreateIndex, p.ModifyIndex, p.Value)
}

func toPair(p *api.KVPair, index uint64) kvdb.KVPair {
	value := p.Value
	if value == nil {
		value = []byte{}
	}
	return kvdb.KVPair{
		Key: p.Key, Value: value,
		CreatedIndex: p.CreateIndex, ModifiedIndex: p.ModifyIndex, KVDBIndex: index,
	}
}
