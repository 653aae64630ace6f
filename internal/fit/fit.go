// Package fit finds out which pairs a store can hold, by [kvdb.LimitsOf].
package fit

import (
	"fmt"
	"strings"
	"time"

	"github.com/portworx/kvdb"
)

// Store is a store that is to hold pairs of another one.
type Store struct {
	Limits kvdb.Limits
	// Defaults makes the sizes that a server has by default count. Otherwise only those count
	// that no server can change.
	Defaults bool
}

// Check returns nil if the store can hold the pair, which expires in ttl seconds unless that is
// 0. Otherwise the error wraps kvdb.ErrIllegal, kvdb.ErrTooLarge, kvdb.ErrEmptyValue or
// kvdb.ErrTTLNotSupported.
func (s Store) Check(pair *kvdb.KVPair, ttl int64) error {
	l := s.Limits
	if l.CheckKey != nil {
		stored, err := l.CheckKey(pair.Key)
		if err != nil {
			return err
		}
		if stored != pair.Key {
			return fmt.Errorf("%w: the store would keep the key as %q", kvdb.ErrIllegal, stored)
		}
	}
	expires, sizes := time.Duration(ttl)*time.Second, s.Defaults || !l.ServerDefaults
	switch {
	case l.MaxKey > 0 && len(pair.Key) > l.MaxKey:
		return fmt.Errorf("%w: the key has %d bytes, the limit is %d", kvdb.ErrIllegal, len(pair.Key), l.MaxKey)
	case l.NoEmptyValue && len(pair.Value) == 0:
		return kvdb.ErrEmptyValue
	case sizes && l.MaxValue > 0 && len(pair.Value) > l.MaxValue:
		return fmt.Errorf("%w: the value has %d bytes, the limit is %d", kvdb.ErrTooLarge, len(pair.Value), l.MaxValue)
	case ttl <= 0:
		return nil
	case l.NoTTL:
		return fmt.Errorf("%w: the pair expires in %v, and the store has no TTLs", kvdb.ErrTTLNotSupported, expires)
	case l.MaxTTL > 0 && expires > l.MaxTTL:
		return fmt.Errorf("%w: the pair expires in %v, the limit is %v", kvdb.ErrTTLNotSupported, expires, l.MaxTTL)
	case sizes && l.MaxTxBytes > 0 && l.TxBytes(pair.Key, pair.Value) > l.MaxTxBytes:
		return fmt.Errorf("%w: a value of %d bytes with a TTL may be too large", kvdb.ErrTooLarge, len(pair.Value))
	}
	return nil
}

// TTL returns the TTL in seconds with which a pair is written that expires in ttl seconds: at
// least the smallest one of the store.
func (s Store) TTL(ttl int64) int64 {
	return max(ttl, int64((s.Limits.MinTTL+time.Second-1)/time.Second))
}

// Path has the keys entered before that the present key begins with.
type Path []string

// Enter returns an error that wraps kvdb.ErrIllegal if one of the keys entered before is a
// directory of key, for a store with [kvdb.Limits.NoKeyAboveKeys]. It enters key otherwise. Keys
// come in order.
func (p *Path) Enter(key string) error {
	for len(*p) > 0 && !strings.HasPrefix(key, (*p)[len(*p)-1]) {
		*p = (*p)[:len(*p)-1]
	}
	for _, above := range *p {
		if strings.HasPrefix(key[len(above):], kvdb.DefaultSeparator) {
			return fmt.Errorf("%w: the store cannot have the key beside the key %q above it", kvdb.ErrIllegal, above)
		}
	}
	*p = append(*p, key)
	return nil
}

// HasHidden reports whether a component of a key begins with "_", see
// [kvdb.Limits.HiddenUnlisted].
func HasHidden(key string) bool { return strings.HasPrefix(key, "_") || strings.Contains(key, "/_") }
