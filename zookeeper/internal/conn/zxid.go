package conn

import (
	"math"
	"sync"
)

// zxidTrackers hands out the zxids of replies, which ZooKeeper's client does not expose. The
// zxid in a reply is the last one that the server had applied when it answered. A server
// applies no write while it answers. So what was read was so at that zxid, and the reply to a
// create has the zxid of the creation.
type zxidTrackers struct {
	mu     sync.Mutex // protects the maps
	byPath map[string]map[*ZxidTracker]struct{}
	paths  map[uint32]string // the paths of requests that are not answered yet, by xid
}

// ZxidTracker finds out the zxid of the reply to a read or a create. Where others send such
// requests for the same path at the same time, it takes the smallest zxid of their replies.
type ZxidTracker struct {
	all  *zxidTrackers
	path string
	zxid int64 // protected by all.mu
}

// TrackZxid returns a tracker for requests with that path, which is to be stopped.
func (c *Conn) TrackZxid(path string) *ZxidTracker {
	all := c.trackers
	t := &ZxidTracker{all: all, path: path, zxid: math.MaxInt64}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byPath[path] == nil {
		all.byPath[path] = map[*ZxidTracker]struct{}{}
	}
	all.byPath[path][t] = struct{}{}
	return t
}

// Stop ends the tracking.
func (t *ZxidTracker) Stop() {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	delete(t.all.byPath[t.path], t)
	if len(t.all.byPath[t.path]) == 0 {
		delete(t.all.byPath, t.path)
	}
}

// Reset forgets the replies so far: only those of the next request count.
func (t *ZxidTracker) Reset() {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	t.zxid = math.MaxInt64
}

// Zxid returns the zxid of the reply, 0 when it is not known.
func (t *ZxidTracker) Zxid() int64 {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	if t.zxid == math.MaxInt64 {
		return 0
	}
	return t.zxid
}

func (all *zxidTrackers) onRequest(xid uint32, path []byte) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byPath[string(path)] != nil {
		all.paths[xid] = string(path)
	}
}

func (all *zxidTrackers) onReply(xid uint32, zxid int64) {
	all.mu.Lock()
	defer all.mu.Unlock()
	path, found := all.paths[xid]
	if !found {
		return
	}
	delete(all.paths, xid)
	for t := range all.byPath[path] {
		t.zxid = min(t.zxid, zxid)
	}
}

// disconnected forgets the requests of a connection that is lost.
func (all *zxidTrackers) disconnected() {
	all.mu.Lock()
	defer all.mu.Unlock()
	clear(all.paths)
}
