package modeltest

import (
	"errors"
	"fmt"
	"math"

	"github.com/anishathalye/porcupine"

	"github.com/portworx/kvdb"
)

// pair is the state of a key in the model. Its zero value is that of a key that does not
// exist.
type pair struct {
	value             string
	created, modified uint64
}

func toPair(p *kvdb.KVPair) pair { return pair{string(p.Value), p.CreatedIndex, p.ModifiedIndex} }

// entry is a key of the model. Its pair expires at some time from earliest to latest, in
// Unix ns; both are 0 without a TTL. unknown means that its indexes are not known, because
// a transaction, which does not return them, wrote it.
type entry struct {
	pair
	earliest, latest int64
	unknown          bool
	floor            uint64 // the unknown index is larger
}

// state is the state of the model. It is comparable, as porcupine requires.
type state struct {
	entries [keyCount]entry
	// last is the largest known index. Later writes have larger ones.
	last uint64
}

var model = porcupine.Model{
	Init: func() interface{} { return state{} },
	Step: func(s, in, out interface{}) (bool, interface{}) {
		return s.(state).step(in.(input), out.(output))
	},
	DescribeOperation: func(in, out interface{}) string {
		return fmt.Sprintf("%+v -> %+v", in, out)
	},
}

// step reports whether an operation may have had this outcome, and returns the state after
// it. If a key may or may not have expired, the outcome decides.
func (s state) step(in input, out output) (bool, state) {
	if in.kind == enumerate {
		return s.enumerate(in, out)
	}
	if in.kind == deleteTree {
		s.entries = [keyCount]entry{}
		return out.err == nil, s
	}
	if in.kind == transaction {
		return s.transaction(in, out)
	}
	e := &s.entries[in.key]
	s.expire(in, out, in.key, s.existed(in, out))
	present := e.present()
	want := s.expected(in, present)
	if want == errEither {
		if out.err != nil && !errors.Is(out.err, kvdb.ErrModified) {
			return false, s
		}
	} else if out.err != want {
		return false, s
	}
	if out.err != nil {
		return true, s
	}
	switch in.kind {
	case get:
		return s.learn(in.key, pair{out.value, out.created, out.modified}), s
	case remove, compareAndDelete:
		ok := s.learn(in.key, pair{out.value, out.created, out.modified})
		*e = entry{}
		return ok, s
	}
	return s.write(in, out, present), s
}

func (e entry) present() bool { return e.modified != 0 || e.unknown }

// existed returns whether the key existed, according to the outcome.
func (s state) existed(in input, out output) *bool {
	yes, no := true, false
	switch {
	case errors.Is(out.err, kvdb.ErrNotFound):
		return &no
	case errors.Is(out.err, kvdb.ErrExist), errors.Is(out.err, kvdb.ErrValueMismatch):
		return &yes
	case out.err == nil && in.kind == create:
		return &no
	case out.err == nil && (in.kind == put || in.kind == compareAndSet):
		present := out.created != out.modified
		return &present
	case out.err != nil && in.modified == 0 && in.kind == compareAndSet:
		return &yes // the key must not exist, but does
	case out.err == nil:
		return &yes
	}
	return &yes // ErrModified: the key exists with another index
}

// expire removes the key if it must have expired, or if it may have expired and the outcome
// shows that it has.
func (s *state) expire(in input, out output, key int, existed *bool) {
	e := &s.entries[key]
	if e.latest == 0 || out.at < e.earliest {
		return
	}
	if in.at > e.latest || existed != nil && !*existed {
		*e = entry{}
	}
}

// errEither means that success and ErrModified are both possible.
var errEither = errors.New("either")

// expected returns the error of an operation on a key, which exists if present.
func (s state) expected(in input, present bool) error {
	e := s.entries[in.key]
	switch in.kind {
	case create:
		if present {
			return kvdb.ErrExist
		}
	case get, update, remove, compareAndDelete:
		if !present {
			return kvdb.ErrNotFound
		}
		if in.kind == compareAndDelete && e.value != in.value {
			return kvdb.ErrValueMismatch
		}
	case compareAndSet:
		switch {
		case !present && in.modified != 0:
			return kvdb.ErrNotFound
		case present && in.modified == 0:
			return kvdb.ErrModified
		case e.unknown && in.modified > e.floor:
			return errEither
		case present && e.modified != in.modified:
			return kvdb.ErrModified
		}
	}
	return nil
}

// learn reports whether a pair that was read may be that of key. If the indexes of key are
// unknown, it sets them to those of the pair.
func (s *state) learn(key int, read pair) bool {
	e := &s.entries[key]
	if !e.unknown {
		return e.pair == read
	}
	if e.value != read.value || read.modified <= e.floor || e.created != math.MaxUint64 && e.created != read.created {
		return false
	}
	e.pair, e.unknown = read, false
	s.last = max(s.last, read.modified)
	return true
}

// write applies a successful write, and reports whether its indexes are possible.
func (s *state) write(in input, out output, present bool) bool {
	e := &s.entries[in.key]
	if out.modified <= s.last || out.value != in.value {
		return false
	}
	switch {
	case !present:
		if out.created != out.modified {
			return false
		}
	case e.created != math.MaxUint64 && out.created != e.created, out.created >= out.modified:
		return false
	}
	s.last = out.modified
	*e = s.timed(in, out, pair{in.value, out.created, out.modified})
	return true
}

func (s *state) timed(in input, out output, p pair) entry {
	e := entry{pair: p}
	if in.ttl > 0 {
		e.earliest, e.latest = in.at+int64(in.ttl)*1e9, out.at+int64(in.ttl)*1e9
	}
	return e
}

// enumerate compares the pairs of every key.
func (s state) enumerate(in input, out output) (bool, state) {
	if out.err != nil {
		return false, s
	}
	for key, read := range out.pairs {
		there := read != pair{}
		s.expire(in, out, key, &there)
		if there != s.entries[key].present() || there && !s.learn(key, read) {
			return false, s
		}
	}
	return true, s
}

// transaction always allows a conflict, because a key may have changed between the read and
// the commit, which the order of operations does not show.
func (s state) transaction(in input, out output) (bool, state) {
	if out.err != nil {
		return errors.Is(out.err, kvdb.ErrModified), s
	}
	there := out.read != pair{}
	s.expire(in, out, in.key, &there)
	if there != s.entries[in.key].present() || there && !s.learn(in.key, out.read) {
		return false, s
	}
	for _, key := range []int{in.key, in.other} {
		e := &s.entries[key]
		created := e.created
		if !e.present() || e.latest != 0 {
			created = math.MaxUint64 // not known, because the key is new or may have expired
		}
		*e = s.timed(in, out, pair{in.value, created, 0})
		e.unknown, e.floor = true, s.last
	}
	return true, s
}
