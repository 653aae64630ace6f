package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
)

// The version of a znode shows that it was not written since it was read, but not that it is
// the same znode: one that was deleted and created again starts anew, and may have come to the
// same version. Generations exclude that. Each key belongs to one of 256 znodes whose version
// counts the deletions of its keys, because each request that deletes keys writes to it. A write
// with a condition on an index or a value gets the version of the generation first, then reads the
// key's znode, and then writes with checks of both versions. The check of the generation excludes
// that the znode was deleted in between, the other one that it was written.
//
// One case remains. A key's znode is deleted without this library, by another program or, if it is
// a container whose key was deleted, by the server. Then it is created again and written until it
// has the same version, all within the time of one call.
const generationCount = 256

// generation returns the number of a key's generation.
func generation(path string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(path)) // never fails
	return int(hash.Sum32() % generationCount)
}

func generationPath(n int) string { return fmt.Sprintf("/%s/gen/%02x", own, n) }

// generationOf is the inverse of generationPath.
func generationOf(path string) int {
	n, _ := strconv.ParseUint(path[len(path)-2:], 16, 8) // it is a number
	return int(n)
}

// checkGeneration returns the check of the generation of path. The caller must read the znode at
// path afterwards. The version may come from the cache. If it is old the check fails, and the
// caller removes it from the cache.
func (s *store) checkGeneration(ctx context.Context, path string) (*zk.CheckVersionRequest, error) {
	n := generation(path)
	version, known := s.generations.get(n)
	for !known {
		stat, _, err := s.look(ctx, generationPath(n), false, false)
		switch {
		case err != nil:
			return nil, err
		case stat != nil:
			version, known = stat.Version, true
			s.generations.set(n, version)
		default:
			if err := s.createGeneration(ctx, n); err != nil {
				return nil, err
			}
		}
	}
	return &zk.CheckVersionRequest{Path: generationPath(n), Version: version}, nil
}

// compareOps returns the check that a write with the condition needs. Only a condition on an index
// or a value needs one.
func (s *store) compareOps(ctx context.Context, path string, c driver.Cond) ([]any, error) {
	if c.Modified == 0 && c.Created == 0 && !c.HasValue {
		return nil, nil
	}
	check, err := s.checkGeneration(ctx, path)
	if err != nil {
		return nil, err
	}
	return []any{check}, nil
}

// resolveConflict returns nil if err is the error of a write of path that failed because something
// has changed since it was read. The write can begin anew then. generationChanged reports whether
// the generation has changed.
func (s *store) resolveConflict(path string, generationChanged bool, err error) error {
	if !isConflict(err) {
		return err
	}
	if generationChanged {
		s.generations.remove(generation(path))
	}
	return nil
}

// countDeletion returns the operation that counts the deletion of a key in its generation.
func countDeletion(path string) *zk.SetDataRequest {
	return &zk.SetDataRequest{Path: generationPath(generation(path)), Data: []byte{}, Version: -1}
}

// countedBy returns the generation in which an operation counts a deletion, and false if it is
// another operation.
func countedBy(op any) (generation int, counts bool) {
	set, ok := op.(*zk.SetDataRequest)
	if !ok || !strings.HasPrefix(set.Path, parent(generationPath(0))+"/") {
		return 0, false
	}
	return generationOf(set.Path), true
}

// createGeneration creates the znode of a generation.
func (s *store) createGeneration(ctx context.Context, n int) error {
	return s.makeShared(ctx, generationPath(n))
}

// makeIndex makes an index that belongs to no other write, and that the session has seen. For that
// it counts a deletion that did not happen, which does no harm.
func (s *store) makeIndex(ctx context.Context) error {
	for {
		results, _, err := s.multi(ctx, countDeletion(""))
		switch {
		case err == nil:
			s.generations.set(generation(""), results[0].Stat.Version)
			return nil
		case !errors.Is(err, zk.ErrNoNode):
			return err
		}
		if err := s.createGeneration(ctx, generation("")); err != nil {
			return err
		}
	}
}
