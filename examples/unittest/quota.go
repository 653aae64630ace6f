// Package unittest shows how to test code that uses kvdb: with the store in memory for the
// usual cases, and with the mock for rare ones, such as a lost connection.
package unittest

import (
	"errors"

	"github.com/portworx/kvdb"
)

// ErrOverQuota is the error of a reservation beyond the quota.
var ErrOverQuota = errors.New("over quota")

// Quota is what a tenant may use, and what it uses, in bytes.
type Quota struct{ Limit, Used uint64 }

// Reserve adds size to what tenant uses, unless that exceeds the quota. Several processes may
// call it at the same time.
func Reserve(kv kvdb.Kvdb, tenant string, size uint64) error {
	_, err := kvdb.ModifyAs(kv, "quota/"+tenant, func(q Quota, exists bool) (Quota, error) {
		if !exists || size > q.Limit-q.Used {
			return q, ErrOverQuota
		}
		q.Used += size
		return q, nil
	})
	return err
}
