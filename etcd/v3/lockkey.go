package etcdv3

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/portworx/kvdb/etcd/common"
)

// lockInfo is the value, in JSON, of the key domain+domain+key that is a lock,
// under the lease of its holder. Earlier releases read LockerID and ignore the rest.
type lockInfo struct {
	common.LockerIDInfo
	// Nonce is random, because earlier releases unlock by deleting the key if its
	// value equals the one they wrote: without it the late Unlock of a holder that
	// had lost its lock would remove the next one of the same owner.
	Nonce string
}

// lockValue returns the value of a new lock.
func lockValue(owner string) []byte {
	// A struct of strings can be encoded.
	value, _ := json.Marshal(lockInfo{common.LockerIDInfo{LockerID: owner}, rand.Text()})
	return value
}

// lockOwner returns who holds the lock that the value stands for, and false when
// it stands for none.
func lockOwner(value []byte) (string, bool) {
	var info struct{ LockerID *string }
	if json.Unmarshal(value, &info) != nil || info.LockerID == nil {
		return "", false
	}
	return *info.LockerID, true
}

// lockKey is where the lock of a full key is.
func (s *store) lockKey(key string) string { return s.domain + key }

// maybeLock reports whether a key is where locks are, and under a lease.
func (s *store) maybeLock(kv *mvccpb.KeyValue) bool {
	return kv.Lease != 0 && bytes.HasPrefix(kv.Key, []byte(s.locks))
}

// isLock reports whether kv is a lock, and not a pair of a program that has the
// domain in its keys.
func (s *store) isLock(kv *mvccpb.KeyValue) bool {
	if !s.maybeLock(kv) {
		return false
	}
	_, ok := lockOwner(kv.Value)
	return ok
}

// lockRange is those keys of prefix that may be locks, and false for none.
func (s *store) lockRange(prefix string) (keyRange, bool) {
	switch {
	case strings.HasPrefix(s.locks, prefix):
		return below(s.locks), true
	case strings.HasPrefix(prefix, s.locks):
		return below(prefix), true
	}
	return keyRange{}, false
}
