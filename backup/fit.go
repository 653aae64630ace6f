package backup

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portworx/kvdb"
)

// ErrIncompatible is wrapped by the error of [Restore] if the store cannot hold pairs of the
// backup.
var ErrIncompatible = errors.New("the store cannot hold pairs of the backup")

// fit finds out what a store can hold. Its methods get the pairs in the order of their keys.
type fit struct {
	limits kvdb.Limits
	above  []string // the keys before that the present key begins with
}

// check returns nil if the store can hold the pair, which expires in ttl seconds unless that
// is 0, and otherwise an error that says why it cannot.
func (f *fit) check(pair *kvdb.KVPair, ttl int64) error {
	if f.limits.CheckKey != nil {
		stored, err := f.limits.CheckKey(pair.Key)
		if err != nil {
			return err
		}
		if stored != pair.Key {
			return fmt.Errorf("the store would keep it as %q", stored)
		}
	}
	switch l := f.limits; {
	case len(pair.Value) == 0 && l.NoEmptyValue:
		return kvdb.ErrEmptyValue
	case l.MaxValue > 0 && !l.ServerDefaults && len(pair.Value) > l.MaxValue:
		return fmt.Errorf("%w: it has %d bytes, and at most %d are possible", kvdb.ErrTooLarge, len(pair.Value), l.MaxValue)
	case ttl > 0 && l.NoTTL:
		return fmt.Errorf("%w: the store has no TTLs (restore them with mode %s)", kvdb.ErrTTLNotSupported, TTLDrop)
	case ttl > 0 && l.MaxTTL > 0 && ttl > int64(l.MaxTTL/time.Second):
		return fmt.Errorf("%w: it is %d s, and at most %v are possible", kvdb.ErrTTLNotSupported, ttl, l.MaxTTL)
	}
	return f.checkAbove(pair.Key)
}

// checkAbove returns an error if the store cannot hold the key because it has a key with the
// name of a directory above it.
func (f *fit) checkAbove(key string) error {
	if !f.limits.NoKeyAboveKeys {
		return nil
	}
	for len(f.above) > 0 && !strings.HasPrefix(key, f.above[len(f.above)-1]) {
		f.above = f.above[:len(f.above)-1]
	}
	for _, above := range f.above {
		if strings.HasPrefix(key, above+kvdb.DefaultSeparator) {
			return fmt.Errorf("the key %q is its directory", above)
		}
	}
	f.above = append(f.above, key)
	return nil
}

// ttlOf returns the TTL in seconds with which a pair of a backup is restored, 0 for none, and
// whether it has expired.
func (f *fit) ttlOf(pair *kvdb.KVPair, mode TTLMode, backedUp time.Time) (ttl int64, expired bool) {
	if pair.TTL == 0 || mode == TTLDrop {
		return 0, false
	}
	ttl = pair.TTL
	if mode == TTLAbsolute {
		ttl -= int64(time.Since(backedUp) / time.Second)
	}
	if ttl <= 0 {
		return 0, true
	}
	smallest := int64((f.limits.MinTTL + time.Second - 1) / time.Second)
	return max(ttl, smallest), false
}
