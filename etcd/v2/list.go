package etcdv2

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// nodesBelow returns the nodes of the keys that have prefix, unsorted, and the index of
// the reply. It reads the directory that contains prefix. The path ends with a slash,
// because permissions are granted for what is below a directory.
func (s *store) nodesBelow(ctx context.Context, prefix string, stale bool) ([]*client.Node, uint64, error) {
	reply, err := s.get(ctx, "/"+directory(prefix), client.GetOptions{Recursive: true, Quorum: !stale})
	if isMissing(err) {
		return nil, answer(err).Index, nil
	} else if err != nil {
		return nil, 0, err
	}
	var nodes []*client.Node
	if reply.Node.Dir { // not a key with the name of the directory
		eachFile(reply.Node, func(n *client.Node) {
			if key := keyOf(n); strings.HasPrefix(key, prefix) && isReadable(key) {
				nodes = append(nodes, n)
			}
		})
	}
	return nodes, reply.Index, nil
}

// eachFile calls visit with the files below a directory.
func eachFile(dir *client.Node, visit func(*client.Node)) {
	for _, n := range dir.Nodes {
		if n.Dir {
			eachFile(n, visit)
		} else {
			visit(n)
		}
	}
}

// List implements driver.Store. It returns all pairs in one page.
func (s *store) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	g, _ := s.pool.history.now()
	nodes, index, err := s.nodesBelow(ctx, prefix, s.stale)
	if err != nil {
		return driver.Page{}, err
	}
	s.pool.history.noteList(g, nodes)
	page := driver.Page{Index: index}
	for _, n := range nodes {
		if keyOf(n) >= o.From {
			page.Pairs = append(page.Pairs, pairOf(n, index))
		}
	}
	slices.SortFunc(page.Pairs, func(a, b *kvdb.KVPair) int { return cmp.Compare(a.Key, b.Key) })
	return page, nil
}

// DeletePrefix implements driver.Store.
func (s *store) DeletePrefix(ctx context.Context, prefix string) error {
	if prefix == "" {
		return s.deleteAll(ctx)
	}
	// etcd would also delete a key with the name of the directory. The error of a read of
	// a node that is never there shows which one exists: it names the node that is missing,
	// or says that a parent is a key.
	_, err := s.get(ctx, "/"+prefix+noKey, client.GetOptions{Quorum: true})
	switch {
	case codeOf(err) == client.ErrorCodeNotDir, codeOf(err) == client.ErrorCodeKeyNotFound && answer(err).Cause != "/"+prefix+noKey:
		return nil
	case err != nil && !isMissing(err):
		return err
	}
	return s.deleteDirectory(ctx, "/"+prefix)
}

// noKey is the name of a node that never exists.
const noKey = "_kvdb-nothing"

func (s *store) deleteDirectory(ctx context.Context, path string) error {
	_, err := s.remove(ctx, path, client.DeleteOptions{Recursive: true, Dir: true})
	if isMissing(err) {
		return nil
	}
	return err
}

// deleteAll deletes the entries of the root one after the other, because etcd does not
// delete the root.
func (s *store) deleteAll(ctx context.Context) error {
	reply, err := s.get(ctx, "/", client.GetOptions{Quorum: true})
	if err != nil {
		return err
	}
	for _, n := range reply.Node.Nodes {
		if err := s.deleteDirectory(ctx, n.Key); err != nil {
			return err
		}
	}
	return nil
}

// clear removes the directory at the path of a key if no key is in it. Otherwise it
// returns kvdb.ErrIllegal.
func (s *store) clear(ctx context.Context, key string) error {
	reply, err := s.get(ctx, "/"+key, client.GetOptions{Recursive: true, Quorum: true})
	if isMissing(err) {
		return nil
	} else if err != nil {
		return err
	}
	illegal := fmt.Errorf("%w: key %q: in etcd's v2 API it is a directory, which has other keys", kvdb.ErrIllegal, key)
	keys := 0
	eachFile(reply.Node, func(*client.Node) { keys++ })
	if keys > 0 {
		return illegal
	}
	err = s.removeEmpty(ctx, reply.Node)
	if codeOf(err) == client.ErrorCodeDirNotEmpty { // hidden keys, or new ones
		return illegal
	}
	return err
}

// removeEmpty removes a directory and the directories in it, unless one was replaced by
// a key or contains one.
func (s *store) removeEmpty(ctx context.Context, dir *client.Node) error {
	if !dir.Dir {
		return nil
	}
	for _, n := range dir.Nodes {
		if err := s.removeEmpty(ctx, n); err != nil {
			return err
		}
	}
	_, err := s.remove(ctx, dir.Key, client.DeleteOptions{Dir: true})
	if isMissing(err) {
		return nil
	}
	return err
}
