package zookeeper

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"

	"github.com/go-zookeeper/zk"
)

// A version tells that a znode did not change since it was read, but not that it
// is the same znode: one that was deleted and created again starts anew, and may
// have come to the same version. A write with a condition excludes that by
// generations: each key belongs to one of 256 znodes whose version counts the
// deletions of its keys, for each request that deletes keys writes to it. Who
// compares an index or a value knows the generation's version first, then reads
// the key's znode, and then writes with checks of both versions: the former says
// that the znode was not deleted in between, the latter that it was not written.
//
// One case remains: another program that deletes a key's znode without this
// library, creates it again, and writes it until it has the same version, all
// within the time of one call; and the server, when it does so to a container
// whose key was deleted.
const generations = 256

// generation is the number of a key's generation.
func generation(path string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(path)) // never fails
	return int(hash.Sum32() % generations)
}

func generationPath(n int) string { return fmt.Sprintf("/%s/gen/%02x", own, n) }

// generationOf is the inverse of generationPath.
func generationOf(path string) int {
	n, _ := strconv.ParseUint(path[len(path)-2:], 16, 8) // it is one
	return int(n)
}

// counts is what an instance knows of the versions of generations. That may be
// old: then a check fails, and it is read.
type counts struct {
	mu    sync.Mutex // protects known
	known map[int]int32
}

func (g *counts) get(n int) (version int32, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	version, known = g.known[n]
	return version, known
}

func (g *counts) set(n int, version int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known[n] = version
}

func (g *counts) forget(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.known, n)
}

func (g *counts) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.known)
}

// checkGeneration returns the check of the generation of path. The znode at path
// must be read afterwards.
func (s *store) checkGeneration(ctx context.Context, path string) (*zk.CheckVersionRequest, error) {
	n := generation(path)
	version, known := s.counts.get(n)
	for !known {
		var stat *zk.Stat
		err := s.peek(ctx, func(c *zk.Conn) (err error) {
			known, stat, err = c.Exists(generationPath(n))
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case known:
			version = stat.Version
			s.counts.set(n, version)
		default:
			if err := s.createGeneration(ctx, n); err != nil {
				return nil, err
			}
		}
	}
	return &zk.CheckVersionRequest{Path: generationPath(n), Version: version}, nil
}

// countDeletion is the operation that goes with the deletion of a key.
func countDeletion(path string) *zk.SetDataRequest {
	return &zk.SetDataRequest{Path: generationPath(generation(path)), Data: []byte{}, Version: -1}
}

// createGeneration makes the znode of a generation.
func (s *store) createGeneration(ctx context.Context, n int) error {
	return s.makeShared(ctx, generationPath(n))
}
