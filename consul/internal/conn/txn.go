package conn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
)

const (
	// MaxBody is the largest body of a transaction that Consul takes by default, in
	// bytes of JSON, where three bytes of a value take four. Servers may have other
	// limits, and say so when they refuse a request.
	MaxBody = 512 << 10
	// MaxValue is the largest value that Consul takes by default, in bytes.
	MaxValue = 512 << 10
	// MaxOps is the largest number of operations in a transaction. It is fixed in
	// Consul since 1.14.
	MaxOps = 128
)

// Txn applies all of ops in one step and returns what they return. When Consul has
// applied none of them because one failed, the error is a *Conflict.
func (c *Conn) Txn(ctx context.Context, k Kind, ops api.TxnOps) ([]*api.KVPair, error) {
	if err := CheckOps(ops); err != nil {
		return nil, err
	}
	var reply *api.TxnResponse
	err := c.Call(ctx, k, func(ctx context.Context, client *api.Client) (err error) {
		var applied bool
		applied, reply, _, err = client.Txn().Txn(ops, Consistent(ctx))
		if err == nil && !isComplete(ops, applied, reply) {
			err = errResults
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(reply.Errors) > 0 {
		failed := reply.Errors[0]
		conflict := &Conflict{failed.OpIndex, failed.What}
		if strings.Contains(failed.What, "Permission denied") {
			return nil, fmt.Errorf("%w: %s", kvdb.ErrPermission, conflict.Error())
		}
		return nil, conflict
	}
	pairs := make([]*api.KVPair, len(reply.Results))
	for i, result := range reply.Results {
		pairs[i] = result.KV
	}
	return pairs, nil
}

// isComplete reports whether a reply has what callers of Txn rely on. Consul leaves
// out the keys that the token may not read, but permission to write includes
// permission to read.
func isComplete(ops api.TxnOps, applied bool, reply *api.TxnResponse) bool {
	if !applied {
		return len(reply.Errors) > 0 && reply.Errors[0] != nil
	}
	least := 0
	for _, o := range ops {
		switch o.KV.Verb {
		case api.KVGet, api.KVSet, api.KVCAS, api.KVLock, api.KVUnlock:
			least++
		}
	}
	hasNone := func(r *api.TxnResult) bool { return r == nil || r.KV == nil }
	return len(reply.Errors) == 0 && len(reply.Results) >= least && !slices.ContainsFunc(reply.Results, hasNone)
}

// CheckOps returns [kvdb.ErrTooLarge] for more operations than a transaction takes.
func CheckOps(ops api.TxnOps) error {
	if len(ops) > MaxOps {
		return fmt.Errorf("%w: the transaction has %d operations, the limit is %d", kvdb.ErrTooLarge, len(ops), MaxOps)
	}
	return nil
}

// Conflict is the error of a transaction that Consul did not apply, because a key is
// not as one of its operations requires.
type Conflict struct {
	Op   int // the index of the first operation that failed
	What string
}

func (c *Conflict) Error() string {
	return fmt.Sprintf("operation %d of the transaction failed: %s", c.Op, c.What)
}

// IsConflict reports whether err is or wraps a *Conflict.
func IsConflict(err error) bool {
	var c *Conflict
	return errors.As(err, &c)
}
