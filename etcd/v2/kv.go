package etcdv2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// maxPrevValue is the length in bytes of the longest value that a request has as a
// condition, which is in the URL.
const maxPrevValue = 2 << 10

// errMoved says that the key was changed between two requests of one operation.
var errMoved = errors.New("the key has changed meanwhile")

// pairOf returns the pair of a node. index is the index of the reply.
func pairOf(n *client.Node, index uint64) *kvdb.KVPair {
	return &kvdb.KVPair{
		Key: keyOf(n), Value: decode(n.Value),
		CreatedIndex: n.CreatedIndex, ModifiedIndex: n.ModifiedIndex, KVDBIndex: index,
		TTL: ttlOf(n),
	}
}

// ttlOf returns the remaining seconds of a node, rounded up, or 0 if it does not expire.
// etcd also returns 0 for a node that is about to expire.
func ttlOf(n *client.Node) int64 {
	if n.Expiration == nil {
		return 0
	}
	return max(n.TTL, 1)
}

// isMissing reports whether an error says that there is no such key, because there is
// nothing, a directory, or a key in place of the parent directory.
func isMissing(err error) bool {
	switch codeOf(err) {
	case client.ErrorCodeKeyNotFound, client.ErrorCodeNotFile, client.ErrorCodeNotDir:
		return true
	}
	return false
}

// get reads the node at a path.
func (s *store) get(ctx context.Context, path string, o client.GetOptions) (*client.Response, error) {
	return s.pool.keys(ctx, repeatable, func(ctx context.Context, keys client.KeysAPI) (*client.Response, error) {
		return keys.Get(ctx, path, &o)
	})
}

// Get implements driver.Store.
func (s *store) Get(ctx context.Context, key string) (*kvdb.KVPair, error) {
	return s.read(ctx, key, s.stale)
}

func (s *store) read(ctx context.Context, key string, stale bool) (*kvdb.KVPair, error) {
	reply, err := s.get(ctx, "/"+key, client.GetOptions{Quorum: !stale})
	switch {
	case isMissing(err), err == nil && reply.Node.Dir:
		return nil, kvdb.ErrNotFound
	case err != nil:
		return nil, err
	}
	return pairOf(reply.Node, reply.Index), nil
}

// TTL implements driver.TTLReader.
func (s *store) TTL(ctx context.Context, key string) (remaining time.Duration, has bool, err error) {
	pair, err := s.Get(ctx, key)
	if err != nil {
		return 0, false, err
	}
	return time.Duration(pair.TTL) * time.Second, pair.TTL > 0, nil
}

// check reads a key, and returns what is there, nil for nothing. The error says which
// part of c does not hold for it.
func (s *store) check(ctx context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	pair, err := s.read(ctx, key, false)
	switch {
	case err == kvdb.ErrNotFound:
		return nil, c.CheckMissing()
	case err != nil:
		return nil, err
	}
	return pair, c.Check(pair.CreatedIndex, pair.ModifiedIndex, pair.Value)
}

// retryCAS calls f again as long as it returns errMoved.
func retryCAS[T any](ctx context.Context, f func() (T, error)) (T, error) {
	backoff := newBackoff()
	for {
		result, err := f()
		if err != errMoved {
			return result, err
		}
		if backoff.Wait(ctx) != nil {
			return result, driver.NotReached(ctx, err)
		}
	}
}

// guard is a condition that etcd checks.
type guard struct {
	index uint64 // of the last write, 0 for any
	value string // "" for any
	// fromRead: the guard is that the key has not changed since it was read, because
	// etcd cannot check the condition itself.
	fromRead bool
}

// guardOf returns the guard for a condition on a key that exists. If it must read the
// key and the condition does not hold, it returns the error of the condition.
func (s *store) guardOf(ctx context.Context, key string, c driver.Cond) (guard, error) {
	g := guard{index: c.Modified}
	if c.HasValue {
		g.value = encode(c.Value)
	}
	g.fromRead = c.Created != 0 || c.NeedsNoKey() || c.HasValue && (g.value == "" || len(g.value) > maxPrevValue)
	if !g.fromRead {
		return g, nil
	}
	pair, err := s.check(ctx, key, c)
	if err != nil {
		return g, err
	}
	return guard{index: pair.ModifiedIndex, fromRead: true}, nil
}

// failed returns the error of the part of a condition that did not hold in etcd, or
// errMoved when g was from a read.
func (s *store) failed(ctx context.Context, key string, c driver.Cond, g guard) error {
	switch {
	case g.fromRead:
		return errMoved
	case !c.HasValue:
		return kvdb.ErrModified
	case c.Modified == 0:
		return kvdb.ErrValueMismatch
	}
	if _, err := s.check(ctx, key, c); err != nil {
		return err
	}
	return errMoved
}

// Put implements driver.Store.
func (s *store) Put(ctx context.Context, w driver.Write) (driver.Indexes, error) {
	return retryCAS(ctx, func() (driver.Indexes, error) {
		if w.Cond.NeedsNoKey() && !w.Cond.NeedsKey() {
			return s.create(ctx, w)
		}
		indexes, err := s.replace(ctx, w)
		if err == kvdb.ErrNotFound && !w.Cond.NeedsKey() {
			return s.create(ctx, w)
		}
		return indexes, err
	})
}

// set makes the request of a write, under the conditions in o.
func (s *store) set(ctx context.Context, w driver.Write, o client.SetOptions) (driver.Indexes, error) {
	o.TTL = w.TTL
	encoded := encode(w.Value)
	if err := checkSize(w.Key, encoded); err != nil {
		return driver.Indexes{}, err
	}
	g, _ := s.pool.history.now()
	reply, err := s.pool.keys(ctx, once, func(ctx context.Context, keys client.KeysAPI) (*client.Response, error) {
		return keys.Set(ctx, "/"+w.Key, encoded, &o)
	})
	if err != nil {
		return driver.Indexes{}, err
	}
	s.pool.history.note(g, reply.Node)
	return driver.Indexes{Created: reply.Node.CreatedIndex, Modified: reply.Node.ModifiedIndex}, nil
}

// replace overwrites a key that exists, which keeps its created index.
func (s *store) replace(ctx context.Context, w driver.Write) (driver.Indexes, error) {
	c := w.Cond
	c.Present = true
	g, err := s.guardOf(ctx, w.Key, c)
	if err != nil {
		return driver.Indexes{}, err
	}
	indexes, err := s.set(ctx, w, client.SetOptions{PrevExist: client.PrevExist, PrevIndex: g.index, PrevValue: g.value})
	switch {
	case isMissing(err):
		return driver.Indexes{}, kvdb.ErrNotFound
	case codeOf(err) == client.ErrorCodeTestFailed:
		return driver.Indexes{}, s.failed(ctx, w.Key, c, g)
	}
	return indexes, err
}

// create writes a key that does not exist.
func (s *store) create(ctx context.Context, w driver.Write) (driver.Indexes, error) {
	indexes, err := s.set(ctx, w, client.SetOptions{PrevExist: client.PrevNoExist})
	switch codeOf(err) {
	case client.ErrorCodeNotDir:
		return indexes, fmt.Errorf("%w: key %q: etcd's v2 API has no key below another one: %w", kvdb.ErrIllegal, w.Key, err)
	case client.ErrorCodeNodeExist:
		pair, err := s.check(ctx, w.Key, w.Cond)
		if err == nil && pair == nil {
			err = s.clear(ctx, w.Key)
		}
		if err == nil {
			err = errMoved
		}
		return indexes, err
	}
	return indexes, err
}

// Delete implements driver.Store.
func (s *store) Delete(ctx context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	c.Present = true
	return retryCAS(ctx, func() (*kvdb.KVPair, error) {
		g, err := s.guardOf(ctx, key, c)
		if err != nil {
			return nil, err
		}
		reply, err := s.remove(ctx, "/"+key, client.DeleteOptions{PrevIndex: g.index, PrevValue: g.value})
		switch {
		case isMissing(err):
			return nil, kvdb.ErrNotFound
		case codeOf(err) == client.ErrorCodeTestFailed:
			return nil, s.failed(ctx, key, c, g)
		case err != nil:
			return nil, err
		}
		return pairOf(reply.PrevNode, reply.Node.ModifiedIndex), nil
	})
}

// remove deletes the node at a path.
func (s *store) remove(ctx context.Context, path string, o client.DeleteOptions) (*client.Response, error) {
	g, _ := s.pool.history.now()
	reply, err := s.pool.keys(ctx, once, func(ctx context.Context, keys client.KeysAPI) (*client.Response, error) {
		reply, err := keys.Delete(ctx, path, &o)
		if err == nil && reply.PrevNode == nil {
			err = errNoNode
		}
		return reply, err
	})
	if err == nil {
		s.pool.history.note(g, reply.Node)
	}
	return reply, err
}
