package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/portworx/kvdb"
)

// key returns the store's key for the caller's key.
func (i *instance) key(key string) (string, error) {
	if key == "" {
		return "", illegalKey(key, errors.New("it is empty"))
	}
	full := i.prefix + key
	if i.profile.CheckKey != nil {
		var err error
		if full, err = i.profile.CheckKey(full); err != nil {
			return "", illegalKey(key, err)
		}
		if len(full) <= len(i.prefix) {
			return "", illegalKey(key, errors.New("it has nothing but slashes"))
		}
	}
	if i.profile.MaxKey > 0 && len(full) > i.profile.MaxKey {
		return "", illegalKey(key, fmt.Errorf("it has %d bytes with its domain, the limit is %d", len(full), i.profile.MaxKey))
	}
	return full, nil
}

func illegalKey(key string, reason error) error {
	return fmt.Errorf("%w: key %q: %w", kvdb.ErrIllegal, key, reason)
}

// stringPrefix returns the store's prefix for the caller's prefix, which may end anywhere
// in a key.
func (i *instance) stringPrefix(prefix string) (string, error) {
	full := i.prefix + prefix
	if i.profile.CheckPrefix == nil {
		return full, nil
	}
	full, err := i.profile.CheckPrefix(full)
	if err != nil {
		return "", illegalKey(prefix, err)
	}
	return full, nil
}

// directory returns the store's prefix of all keys below the caller's directory dir.
func (i *instance) directory(dir, sep string) (string, error) {
	if dir != "" && !strings.HasSuffix(dir, sep) {
		dir += sep
	}
	return i.stringPrefix(dir)
}

// relative is the inverse of key.
func (i *instance) relative(full string) string { return full[len(i.prefix):] }

// hidden reports whether Enumerate leaves the key out.
func hidden(key string) bool {
	last := strings.LastIndexByte(key, '/') + 1
	return last < len(key) && key[last] == '_' || isForeign(key)
}

// isForeign reports whether key is empty. The store's key is then the domain and a slash,
// which only another program can have written. No call accepts the empty key, so none
// returns it.
func isForeign(key string) bool { return key == "" }
