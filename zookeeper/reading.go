package zookeeper

import (
	"math"
	"sync"
	"sync/atomic"
)

// readings find out up to which zxid a server had come when it answered a read,
// which is in the reply, but not told by ZooKeeper's client. A server makes no
// write while it answers: so that is the zxid at which what was read was so, and
// in the answer to a create that of the creation.
type readings struct {
	some atomic.Int64 // the number of wanted

	mu     sync.Mutex                       // protects what is below
	wanted map[string]map[*reading]struct{} // by path
	asked  map[uint32]string                // the paths of reads, by number, that are not answered yet
}

// reading is a read of a path, or a create. Where others read the same path at the same time
// their replies count too, and the smallest zxid is what is known for certain.
type reading struct {
	of   *readings
	path string
	zxid int64 // protected by of.mu
}

func (r *readings) begin(path string) *reading {
	x := &reading{of: r, path: path, zxid: math.MaxInt64}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted == nil {
		r.wanted, r.asked = map[string]map[*reading]struct{}{}, map[uint32]string{}
	}
	if r.wanted[path] == nil {
		r.wanted[path] = map[*reading]struct{}{}
	}
	r.wanted[path][x] = struct{}{}
	r.some.Add(1)
	return x
}

func (x *reading) end() {
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	delete(x.of.wanted[x.path], x)
	if len(x.of.wanted[x.path]) == 0 {
		delete(x.of.wanted, x.path)
	}
	x.of.some.Add(-1)
}

// again is for another read, whose reply alone shall count.
func (x *reading) again() {
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	x.zxid = math.MaxInt64
}

// answered returns the zxid, at least 0, of a read that was answered.
func (x *reading) answered() int64 {
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	if x.zxid == math.MaxInt64 {
		return 0
	}
	return x.zxid
}

func (r *readings) sent(xid uint32, path []byte) {
	if r.some.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted[string(path)] != nil {
		r.asked[xid] = string(path)
	}
}

func (r *readings) replied(xid uint32, zxid int64) {
	if r.some.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	path, asked := r.asked[xid]
	if !asked {
		return
	}
	delete(r.asked, xid)
	for x := range r.wanted[path] {
		x.zxid = min(x.zxid, zxid)
	}
}

// reset forgets the reads of a connection that is lost.
func (r *readings) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.asked)
}
