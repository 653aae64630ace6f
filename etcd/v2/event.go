package etcdv2

import (
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
)

// isEnd reports whether an event is the end of a node.
func isEnd(event *client.Response) bool {
	switch event.Action {
	case "delete", "compareAndDelete", "expire":
		return true
	}
	return false
}

// isEndOfDirectory reports whether an event is the end of a directory and of everything
// in it.
func isEndOfDirectory(event *client.Response) bool {
	return isEnd(event) && event.PrevNode != nil && event.PrevNode.Dir
}

// apply applies an event of etcd's to known, and returns the events of the watched keys
// that it means.
func (w *stream) apply(event *client.Response) []*kvdb.KVPair {
	n := event.Node
	action := kvdb.KVSet
	switch event.Action {
	case "create":
		action = kvdb.KVCreate
	case "set":
		if event.PrevNode == nil {
			action = kvdb.KVCreate
		}
	case "delete", "compareAndDelete":
		action = kvdb.KVDelete
	case "expire":
		action = kvdb.KVExpire
	}
	switch {
	case isEndOfDirectory(event):
		return w.endBelow(keyOf(n)+"/", n.ModifiedIndex, action)
	case n.Dir, !w.wants(keyOf(n)):
		return nil
	case isEnd(event):
		delete(w.known, keyOf(n))
		return []*kvdb.KVPair{endOf(keyOf(n), n.ModifiedIndex, action)}
	}
	w.known[keyOf(n)] = struct{}{}
	pair := pairOf(n, n.ModifiedIndex)
	pair.Action = action
	return []*kvdb.KVPair{pair}
}

// wants reports whether a key is watched. Hidden keys are not, but the server sends their
// events when they are in the past.
func (w *stream) wants(key string) bool {
	if !w.request.Prefix {
		return key == w.request.Key
	}
	return strings.HasPrefix(key, w.request.Key) && isReadable(key) && !isHidden(key, directory(w.request.Key))
}

// endOf returns the event of the end of a key.
func endOf(key string, index uint64, action kvdb.KVAction) *kvdb.KVPair {
	return &kvdb.KVPair{Key: key, Action: action, ModifiedIndex: index, KVDBIndex: index}
}

// endBelow removes the keys in a directory from known, and returns the events of their end.
func (w *stream) endBelow(dir string, index uint64, action kvdb.KVAction) []*kvdb.KVPair {
	var events []*kvdb.KVPair
	for _, key := range slices.Sorted(maps.Keys(w.known)) {
		if strings.HasPrefix(key, dir) {
			delete(w.known, key)
			events = append(events, endOf(key, index, action))
		}
	}
	return events
}

func bytesOf(pairs []*kvdb.KVPair) int64 {
	n := 0
	for _, p := range pairs {
		n += eventBytes + len(p.Key) + len(p.Value)
	}
	return int64(n)
}
