package kvdb

import (
	"fmt"
	"strconv"
	"strings"
)

// String returns the name of the action, such as "set" or "delete".
func (a KVAction) String() string {
	switch a {
	case KVSet:
		return "set"
	case KVCreate:
		return "create"
	case KVGet:
		return "get"
	case KVDelete:
		return "delete"
	case KVExpire:
		return "expire"
	case KVUknown:
		return "unknown"
	}
	return "KVAction(" + strconv.Itoa(int(a)) + ")"
}

// String returns the name of the permission: "read", "write" or "read-write".
func (p PermissionType) String() string {
	switch p {
	case ReadPermission:
		return "read"
	case WritePermission:
		return "write"
	case ReadWritePermission:
		return "read-write"
	}
	return "PermissionType(" + strconv.Itoa(int(p)) + ")"
}

// maxPrinted is the number of bytes of a value that KVPair.String shows.
const maxPrinted = 64

// String returns the pair in a readable form for logs and messages, on one line. It
// shows at most the first 64 bytes of the value, and the indexes and the TTL where
// they are not 0. The form may change.
func (p KVPair) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q: ", p.Key)
	if len(p.Value) <= maxPrinted {
		fmt.Fprintf(&b, "%q", p.Value)
	} else {
		fmt.Fprintf(&b, "%q… (%d bytes)", p.Value[:maxPrinted], len(p.Value))
	}
	if p.Action != 0 {
		fmt.Fprintf(&b, ", %v", p.Action)
	}
	for _, field := range []struct {
		name  string
		value uint64
	}{
		{"created", p.CreatedIndex}, {"modified", p.ModifiedIndex}, {"index", p.KVDBIndex}, {"TTL", uint64(max(p.TTL, 0))},
	} {
		if field.value != 0 {
			fmt.Fprintf(&b, ", %s %d", field.name, field.value)
		}
	}
	if p.Lock != nil {
		b.WriteString(", lock")
	}
	return b.String()
}
