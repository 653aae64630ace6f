package etcdv2

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.etcd.io/etcd/client/v2"
)

// Directories at the root, which the server hides. One has the locks, the other has nodes
// that never exist but that users have permission to read.
const (
	locksDir = "_kvdb-locks"
	usersDir = "_kvdb-users"
)

// checkKey folds runs of slashes and drops those at the ends, as the server does,
// and refuses a key that the server would change otherwise.
func checkKey(key string) (string, error) {
	folded, err := checkPrefix(key)
	if err != nil {
		return "", err
	}
	folded = strings.TrimSuffix(folded, "/")
	if folded == "" {
		return "", errors.New("it has nothing but slashes")
	}
	return folded, checkComponent(folded[strings.LastIndexByte(folded, '/')+1:], folded == locksDir)
}

// checkPrefix is checkKey for the beginning of a key. A slash at its end stays.
func checkPrefix(prefix string) (string, error) {
	components := strings.Split(prefix, "/")
	last := len(components) - 1
	var folded strings.Builder
	for _, component := range components[:last] {
		if component == "" {
			continue
		}
		if err := checkComponent(component, component == locksDir && folded.Len() == 0); err != nil {
			return "", err
		}
		folded.WriteString(component)
		folded.WriteByte('/')
	}
	folded.WriteString(components[last])
	return folded.String(), nil
}

func checkComponent(component string, isLocks bool) error {
	switch {
	case component == "." || component == "..":
		return fmt.Errorf("it has the component %q", component)
	case !isReadable(component):
		return errors.New("it is not UTF-8, or has the character U+FFFD, as which etcd shows what is not")
	case isLocks:
		return errors.New("it is where locks are kept")
	}
	return nil
}

// directory returns the deepest directory that a prefix contains, with a slash at its
// end; "" for the root.
func directory(prefix string) string { return prefix[:strings.LastIndexByte(prefix, '/')+1] }

// keyOf returns the key of a node.
func keyOf(n *client.Node) string { return strings.TrimPrefix(n.Key, "/") }

// isReadable reports whether etcd returned a key unchanged. It replaces what is not UTF-8
// by U+FFFD.
func isReadable(key string) bool { return !strings.ContainsRune(key, utf8.RuneError) }

// isHidden reports whether the server hides a key from a list of dir, which ends in
// a slash or is empty.
func isHidden(key, dir string) bool { return strings.Contains("/"+key[len(dir):], "/_") }

// lockPath returns the path of the lock of a key. It escapes slashes, so that the locks of
// a key and of one below it can both exist.
func lockPath(key string) string { return "/" + locksDir + "/" + escape(key) }

// loginPath returns the path of a node that the user may read.
func loginPath(user string) string { return "/" + usersDir + "/" + escape(user) }

// lockedKey is the inverse of lockPath.
func lockedKey(path string) string {
	return strings.NewReplacer("%25", "%", "%2F", "/").Replace(strings.TrimPrefix(path, "/"+locksDir+"/"))
}

func escape(key string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(key)
}
