package zookeeper

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"
)

const (
	// own is the name of the znodes that are the library's and hold no keys.
	own = "%kvdb"
	// keep is the znode in a key's own that keeps a container from being removed.
	keep = "keep"
	// system is the part of the tree that belongs to the server.
	system = "zookeeper"

	maxKey = 8 << 10 // bytes
	// defaultMaxRequest is the largest request in bytes that a server takes by default:
	// its jute.maxbuffer. It drops the connection of a client that sends more.
	defaultMaxRequest = 1<<20 - 1
	// besideValue is how many bytes, and one, a request with a value and three paths has
	// besides the value.
	besideValue = 32<<10 - 1
	// leastMaxRequest leaves room for a value and for a part of a DeleteTree.
	leastMaxRequest = 128 << 10
)

// pathOf returns the znode of a key.
func pathOf(key string) string { return "/" + key }

// keyOf is the inverse of pathOf.
func keyOf(path string) string { return path[1:] }

// parent returns the znode above, "/" for one that has none.
func parent(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 1)] }

// child returns the znode below path with that name.
func child(path, name string) string {
	if path == "/" {
		return "/" + name
	}
	return path + "/" + name
}

// splitPrefix returns the znode below which all keys with the prefix are, and
// with what the next part of their paths begins.
func splitPrefix(prefix string) (base, name string) {
	path := pathOf(prefix)
	return parent(path), path[strings.LastIndexByte(path, '/')+1:]
}

// foreign reports whether a child of path is none of ours: there are no keys.
func foreign(path, name string) bool { return path == "/" && (name == own || name == system) }

// checkKey returns the key with runs of slashes folded and without one at its
// end, or why it cannot be.
func checkKey(key string) (string, error) {
	folded, err := checkPrefix(key)
	if err != nil {
		return "", err
	}
	folded = strings.TrimSuffix(folded, "/")
	if folded == "" {
		return "", errors.New("it has nothing but slashes")
	}
	if last := folded[strings.LastIndexByte(folded, '/')+1:]; reserved(last) {
		return "", fmt.Errorf("it has the component %q", last)
	}
	if folded == system {
		return "", fmt.Errorf("/%s is the server's own", system)
	}
	return folded, nil
}

// checkPrefix is checkKey for the beginning of a key.
func checkPrefix(prefix string) (string, error) {
	for _, c := range prefix {
		if illegal(c) {
			return "", fmt.Errorf("it has %U, which ZooKeeper does not take", c)
		}
	}
	components := strings.Split(prefix, "/")
	var folded strings.Builder
	for i, component := range components {
		if i == len(components)-1 {
			folded.WriteString(component)
			break
		}
		if reserved(component) {
			return "", fmt.Errorf("it has the component %q", component)
		}
		if component != "" {
			folded.WriteString(component + "/")
		}
	}
	if strings.HasPrefix(folded.String(), system+"/") {
		return "", fmt.Errorf("/%s is the server's own", system)
	}
	return folded.String(), nil
}

func reserved(component string) bool {
	return component == "." || component == ".." || component == own
}

// illegal are the characters that ZooKeeper, or its client, does not take. Those
// from U+10000 on are two surrogates for the server.
func illegal(c rune) bool {
	return c <= 0x1f || 0x7f <= c && c <= 0x9f || 0xd800 <= c && c <= 0xf8ff || 0xfff0 <= c
}

// isEphemeral reports whether a znode belongs to a session.
func isEphemeral(stat *zk.Stat) bool { return stat.EphemeralOwner != 0 }

// isKey reports whether a znode is a key and no directory, and no lock.
func isKey(stat *zk.Stat) bool { return stat.DataLength > 0 && !isEphemeral(stat) }

// newest is the largest zxid of what happened to a znode, its children included.
func newest(stat *zk.Stat) int64 { return max(stat.Mzxid, stat.Czxid, stat.Pzxid) }
