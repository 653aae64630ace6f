package mem

import (
	"cmp"
	"time"

	"github.com/tidwall/btree"

	"github.com/portworx/kvdb/internal/tree"
)

// expiry is a key with a TTL, ordered by the time when it ends and by the index
// of the write that set it.
type expiry struct {
	at       int64
	modified uint64
	key      string
}

func newExpiries() *btree.BTreeG[expiry] {
	earlier := func(a, b expiry) bool {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.modified, b.modified)) < 0
	}
	return btree.NewBTreeGOptions(earlier, btree.Options{NoLocks: true})
}

// now is the time on the clock of expiry times: monotonic, in ns.
func (s *store) now() int64 { return int64(time.Since(s.started)) }

// due reports whether a key has expired and is still there. Its caller holds
// s.mu.
func (s *store) due() bool { return s.next != 0 && s.next <= s.now() }

// reschedule notes that key has the record now instead of old; either may be
// nil. Its caller holds s.mu for writing.
func (s *store) reschedule(key string, old, now *tree.Record) {
	if old != nil && old.Expires != 0 {
		s.expiries.Delete(expiry{old.Expires, old.Modified, key})
	} else if now == nil || now.Expires == 0 {
		return
	}
	if now != nil && now.Expires != 0 {
		s.expiries.Set(expiry{now.Expires, now.Modified, key})
	}
	s.arm()
}

// arm sets the timer to the next expiry. Its caller holds s.mu for writing.
func (s *store) arm() {
	first, any := s.expiries.Min()
	if first.at == s.next {
		return
	}
	s.next = first.at
	switch {
	case s.timer == nil:
		s.timer = time.AfterFunc(time.Duration(s.next-s.now()), s.expire)
	case any:
		s.timer.Reset(time.Duration(s.next - s.now()))
	default:
		s.timer.Stop()
	}
}

// expire is what the timer calls.
func (s *store) expire() {
	if s.lock() == nil {
		s.mu.Unlock()
	}
}

// reap deletes what is due. Its caller holds s.mu for writing.
func (s *store) reap() {
	for s.due() {
		first, _ := s.expiries.Min()
		s.remove(first.key, s.tree.Get(first.key))
	}
}
