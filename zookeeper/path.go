package zookeeper

import (
	"errors"
	"fmt"
	"strings"
)

const (
	// own is the name of the znodes that are the library's own and hold no keys.
	own = "%kvdb"
	// system is the part of the tree that belongs to the server.
	system = "zookeeper"
)

// pathOf returns the znode of a key.
func pathOf(key string) string { return "/" + key }

// keyOf is the inverse of pathOf.
func keyOf(path string) string { return path[1:] }

// parent returns the znode above path, "/" for one at the top.
func parent(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 1)] }

// child returns the znode below path with that name.
func child(path, name string) string {
	if path == "/" {
		return "/" + name
	}
	return path + "/" + name
}

// splitPrefix returns the znode below which all keys with the prefix are, and the beginning
// of the name that the next part of their paths has.
func splitPrefix(prefix string) (base, name string) {
	path := pathOf(prefix)
	return parent(path), path[strings.LastIndexByte(path, '/')+1:]
}

// foreign reports whether a child of path holds no keys because it is the server's, or the
// library's own.
func foreign(path, name string) bool { return path == "/" && (name == own || name == system) }

// checkKey returns the key with runs of slashes folded and without one at its end. It returns
// an error for a key that cannot be a path.
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

// reserved reports whether a component is one that no key may have.
func reserved(component string) bool {
	return component == "." || component == ".." || component == own
}

// illegal reports whether ZooKeeper, or its client, refuses paths with that character. The
// server sees two surrogates in place of a character from U+10000 on.
func illegal(c rune) bool {
	return c <= 0x1f || 0x7f <= c && c <= 0x9f || 0xd800 <= c && c <= 0xf8ff || 0xfff0 <= c
}
