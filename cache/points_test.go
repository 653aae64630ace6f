package cache

import (
	"maps"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func entryAt(key string, index uint64) *entry {
	e := &entry{}
	e.pair.Key, e.pair.ModifiedIndex = key, index
	return e
}

// hashes are hash functions, of which some have many collisions.
var hashes = map[string]func(key string, round int) uint64{
	"random": newPoints().hash,
	"few": func(key string, round int) uint64 {
		n, _ := strconv.ParseUint(key, 10, 64)
		if round == 0 {
			return n % 7
		}
		return n
	},
	"equal in the first rounds": func(key string, round int) uint64 {
		if round < 2 {
			return 0
		}
		n, _ := strconv.ParseUint(key, 10, 64)
		return n << (digitBits * (hashDigits - 1)) // the last digit
	},
}

// A trie has the keys of a map, and copies do not change.
func TestPoints(t *testing.T) {
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			const keys = 16 // the hashes above distinguish so many
			p, model := newPoints(), map[string]*entry{}
			p.hash = hash
			type version struct {
				points points
				model  map[string]*entry
			}
			var versions []version
			check := func(v version) {
				for i := range keys {
					key := strconv.Itoa(i)
					require.Same(t, v.model[key], v.points.get(key))
				}
			}
			for i := range uint64(2000) {
				key := strconv.Itoa(rand.IntN(keys))
				if model[key] != nil && rand.IntN(2) == 0 {
					p.delete(key)
					delete(model, key)
				} else {
					model[key] = entryAt(key, i)
					p.set(model[key])
				}
				if rand.IntN(3) == 0 {
					versions = append(versions, version{p.copy(), maps.Clone(model)})
				}
				check(version{p, model})
			}
			for _, v := range versions {
				check(v)
			}
			for key := range model {
				p.delete(key)
			}
			require.Empty(t, p.root.slots)
		})
	}
}

// A large trie finds its keys, and shrinks with them.
func TestManyPoints(t *testing.T) {
	const keys = 50_000
	p := newPoints()
	for i := range keys {
		p.set(entryAt(strconv.Itoa(i), 0))
	}
	full := p.copy()
	for i := range keys {
		require.NotNil(t, p.get(strconv.Itoa(i)))
		p.delete(strconv.Itoa(i))
		require.Nil(t, p.get(strconv.Itoa(i)))
	}
	require.Empty(t, p.root.slots)
	for i := range keys {
		require.Equal(t, strconv.Itoa(i), full.get(strconv.Itoa(i)).pair.Key)
	}
}
