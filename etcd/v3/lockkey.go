package etcdv3

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/portworx/kvdb/etcd/common"
)

// lockInfo is the value, in JSON, of the key of a lock. That key is domain+domain+key and
// is under the lease of the holder. Earlier releases read LockerID and ignore the rest.
type lockInfo struct {
	common.LockerIDInfo
	// Nonce is random. Earlier releases unlock by deleting the key if it has the value
	// that they wrote. So without Nonce, the late Unlock of a holder that has lost its
	// lock would remove the next lock of the same owner.
	Nonce string
}

// lockValue returns the value of a new lock.
func lockValue(owner string) []byte {
	// The encoding of a struct of strings does not fail.
	value, _ := json.Marshal(lockInfo{common.LockerIDInfo{LockerID: owner}, rand.Text()})
	return value
}

// lockOwner returns the owner in the value of a lock, and false when it is not the value
// of a lock.
func lockOwner(value []byte) (string, bool) {
	var info struct{ LockerID *string }
	if json.Unmarshal(value, &info) != nil || info.LockerID == nil {
		return "", false
	}
	return *info.LockerID, true
}

// lockKey returns the key of the lock of a full key.
func (s *store) lockKey(key string) string { return s.domain + key }

// maybeLock reports whether a key is in the range of locks and under a lease.
func (s *store) maybeLock(kv *mvccpb.KeyValue) bool {
	return kv.Lease != 0 && bytes.HasPrefix(kv.Key, []byte(s.locks))
}

// isLock reports whether kv is a lock, and not a pair of a program whose keys begin with
// the domain once more.
func (s *store) isLock(kv *mvccpb.KeyValue) bool {
	if !s.maybeLock(kv) {
		return false
	}
	_, ok := lockOwner(kv.Value)
	return ok
}

// lockRange returns the range of the keys below prefix that may be locks, and false if
// there are none.
func (s *store) lockRange(prefix string) (keyRange, bool) {
	switch {
	case strings.HasPrefix(s.locks, prefix):
		return below(s.locks), true
	case strings.HasPrefix(prefix, s.locks):
		return below(prefix), true
	}
	return keyRange{}, false
}
