// Package unittest shows how code that uses kvdb is tested: with the store in
// memory for what it does, and with the mock for what stores do seldom, such
// as losing their connection.
package unittest

import (
	"errors"

	"github.com/portworx/kvdb"
)

// ErrOverQuota is the error of a reservation that does not fit.
var ErrOverQuota = errors.New("over quota")

// Quota is what a tenant may use and does, in bytes.
type Quota struct{ Limit, Used uint64 }

// Reserve adds size to what tenant uses, unless that is too much. Any number of
// processes may call it at the same time.
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
