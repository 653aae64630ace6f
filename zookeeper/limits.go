package zookeeper

import (
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
)

const (
	maxKey = 8 << 10 // bytes
	// defaultMaxRequest is the largest request in bytes that a server takes by default, its
	// jute.maxbuffer. It drops the connection of a client that sends more.
	defaultMaxRequest = 1<<20 - 1
	// leastMaxRequest leaves room for a value and for a part of a DeleteTree.
	leastMaxRequest = 128 << 10
	// besideValue is one more than the number of bytes that a request with a value and three
	// paths has in addition to the value.
	besideValue = 32<<10 - 1
	// opOverhead is how many bytes an operation has in addition to path and value, at most.
	opOverhead = 32
)

// checkValue returns an error if a value makes a request too large. The server would drop
// the connection.
func (s *store) checkValue(key string, value []byte) error {
	limit := s.maxRequest - besideValue
	if len(value) <= limit {
		return nil
	}
	return fmt.Errorf("%w: value of key %q has %d bytes, the limit is %d, see option %s",
		kvdb.ErrTooLarge, key, len(value), limit, kvdb.MaxRequestBytesKey)
}

// sizeOf returns the number of bytes that operations take in a request, or slightly more.
func sizeOf(ops ...any) (size int) {
	for _, op := range ops {
		size += opOverhead
		switch op := op.(type) {
		case *zk.CreateRequest:
			size += len(op.Path) + len(op.Data)
			for _, acl := range op.Acl {
				size += 12 + len(acl.Scheme) + len(acl.ID)
			}
		case *zk.SetDataRequest:
			size += len(op.Path) + len(op.Data)
		case *zk.DeleteRequest:
			size += len(op.Path)
		case *zk.CheckVersionRequest:
			size += len(op.Path)
		}
	}
	return size
}
