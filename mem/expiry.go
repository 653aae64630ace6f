package mem

import (
	"cmp"
	"time"

	"github.com/tidwall/btree"

	"github.com/portworx/kvdb/internal/tree"
)

// expiry is a key with a TTL. Expiries are ordered by their time, then by the index of
// the write that set the TTL.
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

// now returns the time on the clock of expiry times, which is monotonic, in ns.
func (s *store) now() int64 { return int64(time.Since(s.started)) }

// due reports whether a key has expired and is not deleted yet. The caller holds s.mu.
func (s *store) due() bool { return s.next != 0 && s.next <= s.now() }

// reschedule replaces the expiry of the record old of key by that of now. Either may be
// nil. The caller holds s.mu for writing.
func (s *store) reschedule(key string, old, now *tree.Record) {
	if old != nil && old.Expires != 0 {
		s.expiries.Delete(expiry{old.Expires, old.Modified, key})
	} else if now == nil || now.Expires == 0 {
		return
	}
	if now != nil && now.Expires != 0 {
		s.expiries.Set(expiry{now.Expires, now.Modified, key})
	}
	s.setTimer()
}

// setTimer sets the timer to the next expiry. The caller holds s.mu for writing.
func (s *store) setTimer() {
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

// expire deletes the expired keys. The timer calls it.
func (s *store) expire() {
	if s.lock() == nil { // deletes them
		s.mu.Unlock()
	}
}

// deleteExpired deletes the keys that have expired. The caller holds s.mu for writing.
func (s *store) deleteExpired() {
	for s.due() {
		first, _ := s.expiries.Min()
		s.remove(first.key, s.tree.Get(first.key))
	}
}
