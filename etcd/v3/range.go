package etcdv3

import (
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keyRange is the keys from key on and before end; without an end it is key alone.
type keyRange struct{ key, end []byte }

// below is every key with the string prefix.
func below(prefix string) keyRange {
	if prefix == "" {
		return keyRange{[]byte{0}, []byte{0}} // what etcd calls all keys
	}
	return keyRange{[]byte(prefix), []byte(clientv3.GetPrefixRangeEnd(prefix))}
}
