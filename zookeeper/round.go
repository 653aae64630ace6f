package zookeeper

import (
	"errors"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
)

// finding is what a round has read of a znode.
type finding struct {
	path  string
	stale stale // what is to be read

	gone     bool
	removed  int64    // if gone: the last change of the children of the znode above
	stat     *zk.Stat // nil: the data was not read
	data     []byte
	children []string // if they were read
	pzxid    int64
}

// contradicts reports whether a znode cannot have been as known before. The zxid of its last
// write never goes back, not even when it is deleted and created again, and a session begins
// with a sync.
func (f *finding) contradicts(before known) bool { return f.stat != nil && f.stat.Mzxid < before.mzxid }

// round reads all that is stale, and the new znodes that it finds.
func (w *stream) round(x *session) error {
	level, before := w.takeStale(), w.lastZxid
	for len(level) > 0 {
		err := x.Run(w.ctx, func(*zk.Conn) error {
			return parallel(w.ctx, len(level), func(i int) error { return w.fetch(x, level[i]) })
		})
		if err != nil {
			w.broken(nil)
			return err
		}
		// A list of children may include a znode that another read did not find. That znode was
		// deleted and created again, so the deletions are applied first.
		for _, f := range level {
			if f.gone {
				w.applyGone(f)
			}
		}
		var next []*finding
		for _, f := range level {
			if f.contradicts(w.nodes[f.path]) {
				w.pending = nil // it has events of the other history
				w.h.leaveHistory(w)
				return nil
			}
			next = append(next, w.apply(f)...)
		}
		level = next
	}
	w.completeUntil = before
	return nil
}

// takeStale returns what is stale, and marks it as fresh.
func (w *stream) takeStale() []*finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all {
		w.stale[w.root] = stale{true, true}
		for path := range w.nodes {
			w.stale[path] = stale{true, true}
		}
	}
	level := make([]*finding, 0, len(w.stale))
	for path, parts := range w.stale {
		if _, found := w.nodes[path]; !found && path != w.root {
			// The znode is gone, and the watch has unsubscribed from it. If it was created
			// again, the list of children above it has changed.
			continue
		}
		level = append(level, &finding{path: path, stale: parts})
	}
	w.stale, w.all = map[string]stale{}, false
	return level
}

// fetch reads a znode, and sets the watches that are not set.
func (w *stream) fetch(x *session, f *finding) error {
	if f.stale.data {
		if err := w.fetchData(x, f); err != nil || f.stat == nil {
			return err
		}
	}
	if !f.stale.children || !w.tree {
		return nil
	}
	children, stat, err := w.h.children(x, f.path)
	if errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNoAuth) && f.path != w.root {
		return nil // there is another event when it is gone
	}
	if err == nil {
		f.children, f.pzxid = children, stat.Pzxid
	}
	return err
}

// fetchData reads the data of a znode. The stat is nil when the znode is gone, or the user may not
// read it. Such a user only learns whether it exists.
func (w *stream) fetchData(x *session, f *finding) (err error) {
	for missing := false; ; missing = f.path != w.root {
		f.data, f.stat, err = w.h.get(x, f.path)
		if err == nil {
			return nil
		}
		f.stat = nil
		if errors.Is(err, zk.ErrNoAuth) && f.path != w.root {
			if exists, err := w.h.exists(x, f.path); err != nil || exists {
				return err
			}
		} else if !errors.Is(err, zk.ErrNoNode) {
			return err
		}
		if !missing {
			if f.removed, err = removalZxid(x, f.path); err != nil {
				return err
			}
		}
		// If it is still missing, any later creation has a larger zxid.
		f.gone = missing
		if f.path == w.root {
			exists, err := w.h.exists(x, f.path)
			if err != nil {
				return err
			}
			f.gone = !exists
		}
		if f.gone {
			return nil
		}
	}
}

// removalZxid returns the zxid of the deletion of a znode that is gone, or a later one: the last
// change of the children of the znode above it.
func removalZxid(x *session, path string) (int64, error) {
	for path != "/" {
		path = parent(path)
		exists, stat, err := x.Client().Exists(path)
		if err != nil {
			return 0, err
		}
		if exists {
			return stat.Pzxid, nil
		}
	}
	return 0, nil
}

// apply makes events of what was found, and returns what to read next.
func (w *stream) apply(f *finding) []*finding {
	if f.gone {
		return nil
	}
	if f.stat != nil {
		w.applyData(f)
	}
	w.lastZxid = max(w.lastZxid, f.pzxid)
	var next []*finding
	for _, name := range f.children {
		path := child(f.path, name)
		if _, old := w.nodes[path]; old || foreign(f.path, name) || name == own || !w.walk.within(path) {
			continue
		}
		w.nodes[path] = known{}
		w.h.subscribePath(w, path)
		next = append(next, &finding{path: path, stale: stale{true, true}})
	}
	return next
}

// applyGone makes the event of a znode that is gone.
func (w *stream) applyGone(f *finding) {
	w.lastZxid = max(w.lastZxid, f.removed)
	old := w.nodes[f.path]
	if old.key {
		w.addDeletion(f.path, max(f.removed, old.mzxid+1))
	}
	delete(w.nodes, f.path)
	if f.path != w.root {
		w.h.unsubscribe(w, f.path)
	}
}

// applyData makes the events of the data of a znode.
func (w *stream) applyData(f *finding) {
	w.lastZxid = max(w.lastZxid, lastChange(f.stat))
	old := w.nodes[f.path]
	now := known{czxid: f.stat.Czxid, mzxid: f.stat.Mzxid, key: isKey(f.stat) && w.listed(f.path)}
	w.nodes[f.path] = now
	if old.key && (old.czxid != now.czxid || !now.key) {
		// It was deleted, and the znode may have been created again since.
		index := now.mzxid
		if now.key {
			index = now.czxid - 1
		}
		w.addDeletion(f.path, index)
		old.key = false
	}
	if !now.key || old.key && old.mzxid == now.mzxid {
		return
	}
	pair := pairOf(keyOf(f.path), f.data, f.stat)
	pair.Action = kvdb.KVCreate
	if old.key || w.first && uint64(now.czxid) <= w.after {
		pair.Action = kvdb.KVSet
	}
	w.add(pair)
}

// listed reports whether the watch includes the key at path.
func (w *stream) listed(path string) bool {
	if !w.tree {
		return path == w.root
	}
	return w.walk.listed(keyOf(path))
}

func (w *stream) addDeletion(path string, index int64) {
	w.add(&kvdb.KVPair{Key: keyOf(path), Action: kvdb.KVDelete, ModifiedIndex: uint64(index)})
}

// add adds an event, if the watch includes its index.
func (w *stream) add(event *kvdb.KVPair) {
	if w.first && w.after == 0 || event.ModifiedIndex <= w.after {
		return
	}
	event.KVDBIndex = event.ModifiedIndex
	w.pending = append(w.pending, event)
}
