package cache

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// Each level of a trie uses a digit of a key's hash. A hash has hashDigits of them.
const (
	digitBits  = 6
	hashDigits = 64 / digitBits
)

// points is a trie that finds entries by the hashes of their keys. A lookup compares one key
// only, so it is much faster than one in a tree that is ordered by keys. A change copies the
// nodes on its way that a copy of the trie shares.
type points struct {
	root node
	// owner is the owner of the slots that no copy shares.
	owner uint64
	hash  func(key string, round int) uint64
}

// node is a part of a slot, not behind a pointer, because accesses to memory dominate the
// time of a lookup.
type node struct {
	used  uint64 // bit i means that there is a slot for digit i
	slots []slot
	owner uint64 // of slots
}

// slot has an entry, or a node for the entries whose hashes begin with the same digits.
type slot struct {
	entry *entry // nil if there is a node
	node  node
}

// rehash is what the digits of a key come from after those of its hash.
type rehash struct {
	key   string
	round int
}

func newPoints() points {
	seed := maphash.MakeSeed()
	return points{hash: func(key string, round int) uint64 {
		if round == 0 {
			return maphash.String(seed, key)
		}
		return maphash.Comparable(seed, rehash{key, round})
	}}
}

// copy returns a trie that must not be changed. It shares all slots.
func (p *points) copy() points {
	copied := *p
	p.owner++
	return copied
}

// digits returns the hash whose lowest digit belongs to a level, given that of the level
// above.
func (p *points) digits(key string, level int, above uint64) uint64 {
	if level%hashDigits == 0 {
		return p.hash(key, level/hashDigits)
	}
	return above >> digitBits
}

// digitsAt is digits without the hash of the level above.
func (p *points) digitsAt(key string, level int) uint64 {
	return p.hash(key, level/hashDigits) >> (level % hashDigits * digitBits)
}

// position returns the index of the slot for the lowest digit of h, and whether it exists.
func (n *node) position(h uint64) (i int, bit uint64, there bool) {
	bit = 1 << (h & (1<<digitBits - 1))
	return bits.OnesCount64(n.used & (bit - 1)), bit, n.used&bit != 0
}

func (p *points) get(key string) *entry {
	n, h := &p.root, p.hash(key, 0)
	for level := 1; ; level++ {
		i, _, there := n.position(h)
		if !there {
			return nil
		}
		s := &n.slots[i]
		if s.entry != nil {
			if s.entry.pair.Key == key {
				return s.entry
			}
			return nil
		}
		n, h = &s.node, p.digits(key, level, h)
	}
}

func (p *points) set(e *entry) { p.put(&p.root, e, 0, p.hash(e.pair.Key, 0)) }

// put adds an entry to n, which no copy shares.
func (p *points) put(n *node, e *entry, level int, h uint64) {
	i, bit, there := n.position(h)
	if !there {
		slots := make([]slot, len(n.slots)+1)
		copy(slots, n.slots[:i])
		slots[i].entry = e
		copy(slots[i+1:], n.slots[i:])
		*n = node{n.used | bit, slots, p.owner}
		return
	}
	p.own(n)
	s := &n.slots[i]
	if s.entry != nil && s.entry.pair.Key == e.pair.Key {
		s.entry = e
		return
	}
	if old := s.entry; old != nil {
		s.entry = nil
		p.put(&s.node, old, level+1, p.digitsAt(old.pair.Key, level+1))
	}
	p.put(&s.node, e, level+1, p.digits(e.pair.Key, level+1, h))
}

// own replaces the slots of n if a copy shares them.
func (p *points) own(n *node) {
	if n.owner != p.owner {
		n.slots, n.owner = slices.Clone(n.slots), p.owner
	}
}

// delete removes a key, which must exist.
func (p *points) delete(key string) { p.remove(&p.root, key, 0, p.hash(key, 0)) }

// remove removes a key from n, which no copy shares.
func (p *points) remove(n *node, key string, level int, h uint64) {
	i, bit, _ := n.position(h)
	if n.slots[i].entry != nil {
		slots := make([]slot, len(n.slots)-1)
		copy(slots, n.slots[:i])
		copy(slots[i:], n.slots[i+1:])
		*n = node{n.used &^ bit, slots, p.owner}
		return
	}
	p.own(n)
	s := &n.slots[i]
	p.remove(&s.node, key, level+1, p.digits(key, level+1, h))
	if below := s.node.slots; len(below) == 1 && below[0].entry != nil {
		*s = below[0]
	}
}
