package modeltest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/portworx/kvdb"
)

// plain is a model of a store: a map, a counter and a list of events. It returns the
// results of the operations of a step as text.
type plain struct {
	pairs  map[string]plainPair
	index  uint64
	events []string
}

type plainPair struct {
	pair
	expires time.Time // zero means never
}

func newPlain() *plain { return &plain{pairs: map[string]plainPair{}} }

// expire removes the pairs that have expired, in the order of their expiry and then of
// their last write.
func (p *plain) expire() {
	now := time.Now()
	due := slices.DeleteFunc(slices.Collect(maps.Keys(p.pairs)), func(key string) bool {
		expires := p.pairs[key].expires
		return expires.IsZero() || expires.After(now)
	})
	slices.SortFunc(due, func(a, b string) int {
		return cmp.Or(p.pairs[a].expires.Compare(p.pairs[b].expires),
			cmp.Compare(p.pairs[a].modified, p.pairs[b].modified))
	})
	for _, key := range due {
		p.remove(key)
	}
}

// ttl returns the remaining seconds, rounded up.
func (p plainPair) ttl() uint64 {
	if p.expires.IsZero() {
		return 0
	}
	return uint64(math.Ceil(time.Until(p.expires).Seconds()))
}

func (p *plain) remove(key string) pair {
	old := p.pairs[key]
	p.index++
	delete(p.pairs, key)
	p.event(kvdb.KVDelete, key, old.pair)
	return old.pair
}

func (p *plain) set(key, value string, ttl uint64) pair {
	p.index++
	old, exists := p.pairs[key]
	now := plainPair{pair: pair{value, p.index, p.index}}
	action := kvdb.KVCreate
	if exists {
		now.created, action = old.created, kvdb.KVSet
	}
	if ttl > 0 {
		now.expires = time.Now().Add(time.Duration(ttl) * time.Second)
	}
	p.pairs[key] = now
	p.event(action, key, now.pair)
	return now.pair
}

func (p *plain) event(action kvdb.KVAction, key string, now pair) {
	p.events = append(p.events, describeEvent(action, key, now.value, now.created, p.index))
}

func describeEvent(action kvdb.KVAction, key, value string, created, modified uint64) string {
	return fmt.Sprint(action, " ", key, "=", value, " ", created, " ", modified)
}

func describe(action kvdb.KVAction, key string, p pair, ttl uint64, index uint64) string {
	return fmt.Sprint(action, " ", key, "=", p.value, " ", p.created, " ", p.modified, " ttl ", ttl, " at ", index)
}

// below returns the keys with the prefix, sorted.
func (p *plain) below(prefix string) []string {
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(p.pairs)), func(key string) bool {
		return !strings.HasPrefix(key, prefix)
	})
	return keys
}

func (p *plain) visible(prefix string) []string {
	return slices.DeleteFunc(p.below(prefix), func(key string) bool {
		components := strings.Split(key, "/")
		return strings.HasPrefix(components[len(components)-1], "_")
	})
}

func (p *plain) enumerate(keys []string, index uint64) string {
	var lines []string
	for _, key := range keys {
		lines = append(lines, describe(kvdb.KVGet, key, p.pairs[key].pair, p.pairs[key].ttl(), index))
	}
	return strings.Join(lines, "\n")
}

// apply performs a step and describes its result.
func (p *plain) apply(s step) string {
	p.expire()
	old, exists := p.pairs[s.key]
	switch s.kind {
	case stepGet:
		if !exists {
			return kvdb.ErrNotFound.Error()
		}
		return p.enumerate([]string{s.key}, p.index)
	case stepPut:
		return p.written(s, kvdb.KVSet)
	case stepCreate:
		if exists {
			return kvdb.ErrExist.Error() + ": " + p.enumerate([]string{s.key}, p.index)
		}
		return p.written(s, kvdb.KVCreate)
	case stepUpdate:
		if !exists {
			return kvdb.ErrNotFound.Error()
		}
		return p.written(s, kvdb.KVSet)
	case stepCompareAndSet:
		if err := p.compare(s, old.pair, exists); err != nil {
			return err.Error()
		}
		if s.flags&kvdb.KVTTL == 0 {
			s.ttl = 0
		}
		return p.written(s, kvdb.KVSet)
	case stepDelete, stepCompareAndDelete:
		if err := p.compareDelete(s, old.pair, exists); err != nil {
			return err.Error()
		}
		p.remove(s.key)
		return describe(kvdb.KVDelete, s.key, old.pair, 0, p.index)
	case stepDeleteTree:
		dir := s.prefix
		if dir != "" && !strings.HasSuffix(dir, "/") {
			dir += "/"
		}
		for _, key := range p.below(dir) {
			p.remove(key)
		}
		return ""
	case stepEnumerate, stepPages:
		return p.enumerate(p.visible(s.prefix), p.index)
	case stepKeys:
		return p.names(s.prefix, s.separator)
	case stepSnapshot:
		p.index++
		return fmt.Sprint(p.index, " ", p.enumerate(p.visible(s.prefix), p.index))
	case stepLock:
		p.index++
		return fmt.Sprint(p.index)
	case stepTransaction:
		result := "absent "
		if exists {
			result = old.value + " "
		}
		p.set(s.key, s.value, s.ttl)
		if s.other != s.key {
			p.set(s.other, s.value, s.ttl)
		}
		return result + "ok"
	}
	return ""
}

func (p *plain) written(s step, action kvdb.KVAction) string {
	now := p.set(s.key, s.value, s.ttl)
	return describe(action, s.key, now, s.ttl, p.index)
}

// compare follows the documented rules for CompareAndSet.
func (p *plain) compare(s step, old pair, exists bool) error {
	mustNotExist := s.flags&kvdb.KVModifiedIndex != 0 && s.modified == 0
	if !exists {
		if mustNotExist && s.flags&(kvdb.KVPrevExists|kvdb.KVCreatedIndex) == 0 {
			return nil
		}
		return kvdb.ErrNotFound
	}
	if mustNotExist ||
		s.flags&kvdb.KVModifiedIndex != 0 && s.modified != old.modified ||
		s.flags&kvdb.KVCreatedIndex != 0 && s.created != old.created {
		return kvdb.ErrModified
	}
	if s.previous != nil && string(s.previous) != old.value {
		return kvdb.ErrValueMismatch
	}
	return nil
}

func (p *plain) compareDelete(s step, old pair, exists bool) error {
	indexes := s.flags & (kvdb.KVModifiedIndex | kvdb.KVCreatedIndex)
	switch {
	case !exists:
		return kvdb.ErrNotFound
	case s.kind == stepDelete:
		return nil
	case s.flags&kvdb.KVModifiedIndex != 0 && s.modified != old.modified,
		s.flags&kvdb.KVCreatedIndex != 0 && s.created != old.created:
		return kvdb.ErrModified
	case indexes == 0 && s.value != old.value:
		return kvdb.ErrValueMismatch
	}
	return nil
}

// names follows the documented rules for Keys.
func (p *plain) names(dir, separator string) string {
	if separator == "" {
		separator = "/"
	}
	if dir != "" && !strings.HasSuffix(dir, separator) {
		dir += separator
	}
	names := map[string]bool{}
	for _, key := range p.below(dir) {
		rest := strings.TrimPrefix(key, dir)
		for i := 1; i <= len(rest); i++ {
			if i == len(rest) || strings.HasPrefix(rest[i:], separator) {
				names[rest[:i]] = true
				break
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " ")
}

// errorText returns the text of apply for an error.
func errorText(err error) string {
	for _, sentinel := range []error{kvdb.ErrNotFound, kvdb.ErrExist, kvdb.ErrModified, kvdb.ErrValueMismatch} {
		if errors.Is(err, sentinel) && err == sentinel {
			return sentinel.Error()
		}
	}
	return "unexpected: " + err.Error()
}
