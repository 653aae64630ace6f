package consul

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/failover"
)

func op(o api.KVTxnOp) *api.TxnOp { return &api.TxnOp{KV: &o} }

// commit applies ops in one step, or none of them: then the error is a
// *conflict. It returns what the operations have returned.
func (s *store) commit(ctx context.Context, k failover.Kind, ops api.TxnOps) ([]*api.KVPair, error) {
	if err := checkSize(ops); err != nil {
		return nil, err
	}
	var reply *api.TxnResponse
	err := s.pool.call(ctx, k, func(ctx context.Context, c *api.Client) (err error) {
		var applied bool
		applied, reply, _, err = c.Txn().Txn(ops, consistent(ctx))
		if err == nil && !isWhole(ops, applied, reply) {
			err = errResults
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(reply.Errors) > 0 {
		failed := reply.Errors[0]
		c := &conflict{failed.OpIndex, failed.What}
		if strings.Contains(failed.What, "Permission denied") {
			return nil, fmt.Errorf("%w: %s", kvdb.ErrPermission, c.Error())
		}
		return nil, c
	}
	pairs := make([]*api.KVPair, len(reply.Results))
	for i, result := range reply.Results {
		pairs[i] = result.KV
	}
	return pairs, nil
}

// isWhole reports whether a reply has what callers of commit rely on. Consul leaves
// out what the token may not read: who writes a key may read it too.
func isWhole(ops api.TxnOps, applied bool, reply *api.TxnResponse) bool {
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

// checkSize refuses a transaction of more operations than Consul takes.
func checkSize(ops api.TxnOps) error {
	if len(ops) > maxTxOps {
		return fmt.Errorf("%w: the transaction has %d operations, the limit is %d", kvdb.ErrTooLarge, len(ops), maxTxOps)
	}
	return nil
}
