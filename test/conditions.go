package test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portworx/kvdb"
)

var conditionGroup = group{name: "Conditions", calls: "CompareAndSet, CompareAndDelete", cases: []testCase{
	{name: "CompareAndSet", run: conditionsCompareAndSet},
	{name: "CompareAndDelete", run: conditionsCompareAndDelete},
	{name: "EmptyPrevValue", run: conditionsEmptyPrevValue},
	{name: "OneWins", run: conditionsOneWins},
	{name: "Counter", run: conditionsCounter},
}}

// condition is the condition of a write. The value of a key that exists is "present".
type condition struct {
	exists     bool
	flags      kvdb.KVFlags
	mod        string // the ModifiedIndex given: "match", "other" or "zero"
	created    string // the CreatedIndex given: "match", "other" or "zero"
	prev       []byte // the prevValue, or the value of a CompareAndDelete
	deleteOnly bool
}

// String returns the condition in words.
func (c condition) String() string {
	var words []string
	if c.flags&kvdb.KVPrevExists != 0 {
		words = append(words, "KVPrevExists")
	}
	if c.flags&kvdb.KVCreatedIndex != 0 {
		words = append(words, "KVCreatedIndex (index: "+c.created+")")
	}
	if c.flags&kvdb.KVModifiedIndex != 0 {
		words = append(words, "KVModifiedIndex (index: "+c.mod+")")
	}
	if c.prev != nil {
		words = append(words, fmt.Sprintf("previous value %q", c.prev))
	}
	key := "a key that does not exist"
	if c.exists {
		key = `a key with the value "present"`
	}
	return fmt.Sprintf("[%s] for %s", strings.Join(words, ", "), key)
}

// failures returns the errors that c may fail with, none if it holds. It states the rules of
// conditions independently of the library.
func (c condition) failures() []error {
	unborn := !c.deleteOnly && c.flags&kvdb.KVModifiedIndex != 0 && c.mod == "zero"
	if !c.exists {
		if unborn && c.flags&(kvdb.KVPrevExists|kvdb.KVCreatedIndex) == 0 {
			return nil // whatever the previous value
		}
		return []error{kvdb.ErrNotFound}
	}
	if unborn {
		return []error{kvdb.ErrModified}
	}
	var failures []error
	if c.flags&kvdb.KVModifiedIndex != 0 && c.mod != "match" || c.flags&kvdb.KVCreatedIndex != 0 && c.created != "match" {
		failures = append(failures, kvdb.ErrModified)
	}
	compares := c.prev != nil
	if c.deleteOnly {
		compares = c.flags&(kvdb.KVModifiedIndex|kvdb.KVCreatedIndex) == 0
	}
	if compares && string(c.prev) != "present" {
		failures = append(failures, kvdb.ErrValueMismatch)
	}
	return failures
}

// given returns the index that a condition gives for a key with the index index.
func given(how string, index uint64) uint64 {
	switch how {
	case "match":
		return index
	case "other":
		return index + 1
	}
	return 0
}

// matrix calls f with every condition, each with a key of its own that was
// written twice if it is to exist.
func (e *env) matrix(deleteOnly bool, f func(c condition, key string, given *kvdb.KVPair)) {
	prevs := [][]byte{nil, []byte("present"), []byte("another"), {}}
	n := 0
	for flags := range kvdb.KVPrevExists | kvdb.KVCreatedIndex | kvdb.KVModifiedIndex + 1 {
		mods, createds := []string{""}, []string{""}
		if flags&kvdb.KVModifiedIndex != 0 {
			mods = []string{"match", "other", "zero"}
		}
		if flags&kvdb.KVCreatedIndex != 0 {
			createds = []string{"match", "other", "zero"}
		}
		for _, exists := range []bool{true, false} {
			for _, mod := range mods {
				for _, created := range createds {
					for _, prev := range prevs {
						key := "key" + strconv.Itoa(n)
						n++
						c := condition{exists, flags, mod, created, prev, deleteOnly}
						e.try(c, key, f)
					}
				}
			}
		}
	}
	e.Greater(n, 200, "the number of conditions that the case tried")
}

func (e *env) try(c condition, key string, f func(c condition, key string, given *kvdb.KVPair)) {
	there := &kvdb.KVPair{Key: key, CreatedIndex: 1000, ModifiedIndex: 2000}
	if c.exists {
		e.put(key, "first")
		there = e.put(key, "present")
	}
	f(c, key, &kvdb.KVPair{
		Key: key, CreatedIndex: given(c.created, there.CreatedIndex), ModifiedIndex: given(c.mod, there.ModifiedIndex),
	})
}

// fails asserts that err is one of the failures, and that nothing was written.
func (e *env) fails(c condition, key string, err error) {
	e.t.Helper()
	e.True(slices.Contains(c.failures(), err), "CompareAndSet or CompareAndDelete with the conditions %v returned %v; it must be one of %v itself", c, err, c.failures())
	if c.exists {
		e.holds(key, "present")
	} else {
		e.missing(key)
	}
}

func conditionsCompareAndSet(e *env) {
	e.matrix(false, func(c condition, key string, given *kvdb.KVPair) {
		given.Value = []byte("written")
		before, _ := e.kv.Get(key)
		pair, err := e.kv.CompareAndSet(given, c.flags, c.prev)
		if len(c.failures()) > 0 {
			e.fails(c, key, err)
			return
		}
		e.NoError(err, "with the conditions %v", c)
		now := e.holds(key, "written")
		e.Equal(now.ModifiedIndex, pair.ModifiedIndex, "the ModifiedIndex in the pair that CompareAndSet returned must be that of the pair in the store (%v)", c)
		e.Equal(now.CreatedIndex, pair.CreatedIndex, "the CreatedIndex in the pair that CompareAndSet returned must be that of the pair in the store (%v)", c)
		if before == nil {
			e.Equal(pair.ModifiedIndex, pair.CreatedIndex, "the CreatedIndex of a new key must be its ModifiedIndex (%v)", c)
			return
		}
		e.Greater(pair.ModifiedIndex, before.ModifiedIndex, indexesGrow+" (%v)", c)
		e.Equal(before.CreatedIndex, pair.CreatedIndex, createdStays+" (%v)", c)
	})
}

func conditionsCompareAndDelete(e *env) {
	e.matrix(true, func(c condition, key string, given *kvdb.KVPair) {
		given.Value = c.prev
		pair, err := e.kv.CompareAndDelete(given, c.flags)
		if len(c.failures()) > 0 {
			e.fails(c, key, err)
			return
		}
		e.NoError(err, "with the conditions %v", c)
		e.Equal("present", string(pair.Value), "the pair that CompareAndDelete returned must have the last value (%v)", c)
		e.missing(key)
	})
}

// An empty prevValue that is not nil is a condition too.
func conditionsEmptyPrevValue(e *env) {
	if e.traits.NoEmptyValue {
		e.put("key", "value")
		_, err := e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("x")}, 0, []byte{})
		e.is(kvdb.ErrValueMismatch, err)
		return
	}
	e.put("key", "")
	_, err := e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("x")}, 0, []byte("y"))
	e.is(kvdb.ErrValueMismatch, err)
	_, err = e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("x")}, 0, []byte{})
	e.NoError(err)
	e.holds("key", "x")
	e.put("key", "")
	_, err = e.kv.CompareAndDelete(&kvdb.KVPair{Key: "key"}, 0)
	e.NoError(err)
	e.missing("key")
}

// Of several callers with the same conditions one wins, also when they write
// the same value.
func conditionsOneWins(e *env) {
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	set := func(pair kvdb.KVPair, flags kvdb.KVFlags, prev []byte) func(i int) error {
		return func(i int) error {
			_, err := kvs[i%2].CompareAndSet(&pair, flags, prev)
			return err
		}
	}
	for range 5 {
		put := e.put("key", "before")
		e.wins(kvdb.ErrModified, set(kvdb.KVPair{Key: "key", Value: []byte("before"), ModifiedIndex: put.ModifiedIndex},
			kvdb.KVModifiedIndex, nil))
		e.wins(kvdb.ErrValueMismatch, set(kvdb.KVPair{Key: "key", Value: []byte("after")}, 0, []byte("before")))
		_, err := e.kv.Delete("key")
		e.NoError(err)
		e.wins(kvdb.ErrModified, set(kvdb.KVPair{Key: "key", Value: []byte("new")}, kvdb.KVModifiedIndex, nil))
	}
}

// counted asserts the number at key, to which n callers have added one. how says how none of
// them is lost.
func (e *env) counted(key string, n int, how string) {
	e.t.Helper()
	pair, err := e.kv.Get(key)
	e.NoError(err)
	e.Equal(strconv.Itoa(n), string(pair.Value), "the number of %d increments that the store has; none must be lost: %s", n, how)
}

// No update is lost among callers that each read a key and write it if it is unchanged.
func conditionsCounter(e *env) {
	const callers, increments = 6, 8
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	e.put("index", "0")
	e.put("value", "0")
	increment := func(kv kvdb.Kvdb, key string, flags kvdb.KVFlags) error {
		for {
			pair, err := kv.Get(key)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(pair.Value))
			if err != nil {
				return err
			}
			var prev []byte
			if flags == 0 {
				prev = pair.Value
			}
			pair.Value = []byte(strconv.Itoa(n + 1))
			_, err = kv.CompareAndSet(pair, flags, prev)
			if err != kvdb.ErrModified && err != kvdb.ErrValueMismatch {
				return err
			}
		}
	}
	e.concurrently(callers, func(i int) error {
		for range increments {
			err := errors.Join(increment(kvs[i%2], "index", kvdb.KVModifiedIndex), increment(kvs[i%2], "value", 0))
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, key := range []string{"index", "value"} {
		e.counted(key, callers*increments, "CompareAndSet must compare the "+key+" and write in one step")
	}
}
