package etcdv3

import (
	"bytes"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keyRange is the keys from key up to but not including end. Without an end it is
// key alone.
type keyRange struct{ key, end []byte }

// below returns the range of all keys with the string prefix.
func below(prefix string) keyRange {
	if prefix == "" {
		return keyRange{[]byte{0}, []byte{0}} // all keys, in etcd's notation
	}
	return keyRange{[]byte(prefix), []byte(clientv3.GetPrefixRangeEnd(prefix))}
}

// contain reports whether the keys of all events are in the range.
func (r keyRange) contain(events []*mvccpb.Event) bool {
	for _, e := range events {
		switch key := e.Kv.Key; {
		case len(r.end) == 0 && !bytes.Equal(key, r.key),
			bytes.Compare(key, r.key) < 0,
			len(r.end) > 0 && !bytes.Equal(r.end, []byte{0}) && bytes.Compare(key, r.end) >= 0:
			return false
		}
	}
	return true
}
