package consul

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

// maxLargeFlags keeps the flags of large values within the integers that programs can
// represent which read numbers as floating point.
const maxLargeFlags = 1<<53 - 2

// isLarge reports whether a transaction with the write could be larger than Consul
// takes by default.
func (w write) isLarge() bool {
	// The most operations that a write takes, and the most bytes that JSON adds to a
	// value.
	const ops, perOp, perKeyByte = 4, 256, 6
	return base64.StdEncoding.EncodedLen(len(w.value))+ops*(perOp+perKeyByte*len(w.key)) > conn.MaxBody
}

// putLarge makes a write without a TTL whose value may be too large for a transaction.
// A request for one key takes any value that Consul takes. But its only guard is the
// key's index, which putLarge reads before. And its reply has no index, so putLarge
// reads the key afterwards: random flags show whether the key is still as the request
// has left it.
func (s *store) putLarge(ctx context.Context, w write, c driver.Cond) (*api.KVPair, error) {
	for backoff := conn.NewBackoff(); ; {
		over, err := s.lookIf(ctx, w.key, c)
		switch {
		case err != nil:
			return nil, err
		case over == nil:
		case over.Session != "": // only a transaction takes its TTL away
			results, err := s.retryCAS(ctx, w.key, c, w.opsOver(over), w.opsOver)
			if err != nil {
				return nil, err
			}
			s.endSessionOf(over)
			return results[len(results)-1], nil
		case isFree(over): // the new pair must get a CreateIndex of its own
			if _, err := s.conn.Txn(ctx, conn.Once, opsDelete(w.key, over.ModifyIndex)); err != nil && !conn.IsConflict(err) {
				return nil, err
			}
			over = nil
		}
		written, err := s.putIfUnchanged(ctx, w, over)
		if written != nil || err != nil {
			return written, err
		}
		if backoff.Wait(ctx) != nil {
			return nil, driver.NotReached(ctx, errAlwaysChanged)
		}
	}
}

var errAlwaysChanged = errors.New("others change the key all the time")

// putIfUnchanged makes the request of putLarge, and returns the key with the indexes
// that it has got; nil when the key is no longer as over says.
func (s *store) putIfUnchanged(ctx context.Context, w write, over *api.KVPair) (*api.KVPair, error) {
	p := &api.KVPair{Key: w.key, Value: w.value, Flags: touchFlags + 1 + rand.Uint64N(maxLargeFlags)}
	if over != nil {
		p.ModifyIndex = over.ModifyIndex
	}
	applied := false
	err := s.conn.Call(ctx, conn.Once, func(ctx context.Context, c *api.Client) (err error) {
		applied, _, err = c.KV().CAS(p, (&api.WriteOptions{}).WithContext(ctx))
		return err
	})
	unknown := errors.Is(err, kvdb.ErrUnknownOutcome)
	if !unknown && (err != nil || !applied) {
		return nil, err
	}
	now, index, lookErr := s.read(ctx, w.key, false)
	switch {
	case lookErr == nil && now != nil && now.Flags == p.Flags && bytes.Equal(now.Value, p.Value):
		return now, nil
	case unknown:
		return nil, err
	case lookErr != nil:
		return nil, hadEffect(ctx, fmt.Errorf("the key is written, with which index is not known: %w", lookErr))
	}
	// The key was written to or deleted since. The index before that is not less than
	// the index of this write, and the key will never have it again.
	switch {
	case now == nil:
		p.ModifyIndex = index - 1
	case over == nil: // this write has created the key, or it was created again
		p.ModifyIndex = min(now.CreateIndex, now.ModifyIndex-1)
	case now.ModifyIndex == over.ModifyIndex:
		return nil, fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, errNotWritten)
	default:
		p.ModifyIndex = now.ModifyIndex - 1
	}
	p.CreateIndex = p.ModifyIndex
	if over != nil {
		p.CreateIndex = over.CreateIndex
	}
	return p, nil
}
