package modeltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

type stepKind byte

const (
	stepGet stepKind = iota
	stepPut
	stepCreate
	stepUpdate
	stepCompareAndSet
	stepDelete
	stepCompareAndDelete
	stepDeleteTree
	stepEnumerate
	stepPages
	stepKeys
	stepSnapshot
	stepLock
	stepTransaction
	stepSleep
	stepKinds
)

// step is one operation of a sequence.
type step struct {
	kind              stepKind
	key, other        string
	prefix, separator string
	value             string
	previous          []byte
	flags             kvdb.KVFlags
	created, modified uint64
	ttl               uint64
	sleep             time.Duration
}

var (
	stepKeyNames   = []string{"a", "ab", "a/b", "a/b/c", "a/_h", "a//x", "_h/b", "b", "a.b", "a-b/c", "ä/b", "/a"}
	stepPrefixes   = []string{"", "a", "a/", "a/b", "ab", "b", "x", "ä", "/", "_h"}
	stepSeparators = []string{"", "/", ".", "//", "b"}
	stepValues     = []string{"", "0", "1", "\x00\xff"}
)

// steps returns the sequence of steps that fuzzed bytes determine.
func steps(data []byte) []step {
	var sequence []step
	next := func() int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b)
	}
	pick := func(from []string) string { return from[next()%len(from)] }
	for len(data) > 0 && len(sequence) < 200 {
		s := step{kind: stepKind(next() % int(stepKinds)), key: pick(stepKeyNames)}
		switch s.kind {
		case stepPut, stepCreate, stepUpdate:
			s.value, s.ttl = pick(stepValues), uint64(max(0, next()%8-4))
		case stepCompareAndSet, stepCompareAndDelete:
			s.value, s.flags = pick(stepValues), kvdb.KVFlags(next()%16)
			s.created, s.modified = uint64(next()%64), uint64(next()%64)
			s.ttl = uint64(next() % 4)
			if next()%2 == 0 {
				s.previous = []byte(pick(stepValues))
			}
		case stepDeleteTree, stepEnumerate, stepPages, stepSnapshot:
			s.prefix = pick(stepPrefixes)
		case stepKeys:
			s.prefix, s.separator = pick(stepPrefixes), pick(stepSeparators)
		case stepTransaction:
			s.other, s.value, s.ttl = pick(stepKeyNames), pick(stepValues), uint64(max(0, next()%8-4))
		case stepSleep:
			// Never a whole second, so that no expiry falls on a call.
			s.sleep = time.Duration(next()%16)*300*time.Millisecond + time.Millisecond
		}
		sequence = append(sequence, s)
	}
	return sequence
}

// current replaces the small indexes of a comparison: odd ones become those of the existing
// pair, if there is one.
func (s step) current(p *plain) step {
	if old, exists := p.pairs[s.key]; exists {
		if s.created%2 == 1 {
			s.created = old.created
		}
		if s.modified%2 == 1 {
			s.modified = old.modified
		}
	}
	return s
}

// FuzzSequence runs the same steps on mem, bolt and the plain model. All must return the
// same results and deliver the same events.
func FuzzSequence(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		data := make([]byte, 600)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) { compareStores(t, steps(data)) })
	})
}

func compareStores(t *testing.T, sequence []step) {
	stores := map[string]kvdb.Kvdb{"mem": openMem(t), "bolt": openBolt(t)}
	expected := newPlain()
	for i, s := range sequence {
		if s.kind == stepSleep {
			time.Sleep(s.sleep)
			continue
		}
		expected.expire()
		s = s.current(expected)
		want := expected.apply(s)
		for name, kv := range stores {
			require.Equal(t, want, apply(t, kv, s), "%s, step %d: %+v", name, i, s)
		}
	}
	time.Sleep(10 * time.Second) // until every TTL has ended
	expected.expire()
	for name, kv := range stores {
		require.Equal(t, expected.events, watched(t, kv, len(expected.events)), name)
		require.NoError(t, kvdb.Close(kv))
	}
}

// watched returns the events of a watch from the beginning: at least want of them.
func watched(t *testing.T, kv kvdb.Kvdb, want int) []string {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events, err := kvdb.Events(ctx, kv, "", 0)
	require.NoError(t, err)
	var got []string
	_, err = kv.Put("last", "", 0)
	require.NoError(t, err)
	for p, err := range events {
		require.NoError(t, err, "event %d of %d", len(got), want)
		if p.Key == "last" {
			break
		}
		got = append(got, describeEvent(p.Action, p.Key, string(p.Value), p.CreatedIndex, p.ModifiedIndex))
	}
	return got
}

// apply runs a step on a store and describes its result.
func apply(t *testing.T, kv kvdb.Kvdb, s step) string {
	var p *kvdb.KVPair
	var err error
	switch s.kind {
	case stepGet:
		p, err = kv.Get(s.key)
	case stepPut:
		p, err = kv.Put(s.key, s.value, s.ttl)
	case stepCreate:
		p, err = kv.Create(s.key, s.value, s.ttl)
	case stepUpdate:
		p, err = kv.Update(s.key, s.value, s.ttl)
	case stepCompareAndSet:
		p, err = kv.CompareAndSet(s.pair(), s.flags, s.previous)
	case stepDelete:
		p, err = kv.Delete(s.key)
	case stepCompareAndDelete:
		p, err = kv.CompareAndDelete(s.pair(), s.flags)
	case stepDeleteTree:
		err = kv.DeleteTree(s.prefix)
	case stepKeys:
		var names []string
		if names, err = kv.Keys(s.prefix, s.separator); err == nil {
			return strings.Join(names, " ")
		}
	case stepEnumerate:
		var pairs kvdb.KVPairs
		if pairs, err = kv.Enumerate(s.prefix); err == nil {
			return describePairs(pairs)
		}
	case stepPages:
		return describePairs(pages(t, kv, s.prefix))
	case stepSnapshot:
		return snapshot(t, kv, s.prefix)
	case stepLock:
		if p, err = kv.Lock(s.key); err == nil {
			require.NoError(t, kv.Unlock(p))
			return fmt.Sprint(p.ModifiedIndex)
		}
	case stepTransaction:
		return transact(t, kv, s)
	}
	switch {
	case err != nil && p != nil:
		return errorText(err) + ": " + describePairs(kvdb.KVPairs{p})
	case err != nil:
		return errorText(err)
	case p != nil:
		return describePairs(kvdb.KVPairs{p})
	}
	return ""
}

func (s step) pair() *kvdb.KVPair {
	return &kvdb.KVPair{
		Key: s.key, Value: []byte(s.value), TTL: int64(s.ttl), CreatedIndex: s.created, ModifiedIndex: s.modified,
	}
}

func describePairs(pairs kvdb.KVPairs) string {
	var lines []string
	for _, p := range pairs {
		lines = append(lines, describe(p.Action, p.Key, toPair(p), uint64(p.TTL), p.KVDBIndex))
	}
	return strings.Join(lines, "\n")
}

func pages(t *testing.T, kv kvdb.Kvdb, prefix string) kvdb.KVPairs {
	var pairs kvdb.KVPairs
	for p, err := range kv.(kvdb.Pager).EnumeratePages(prefix, 2) {
		require.NoError(t, err)
		pairs = append(pairs, p)
	}
	return pairs
}

func snapshot(t *testing.T, kv kvdb.Kvdb, prefix string) string {
	snap, index, err := kv.Snapshot([]string{prefix, prefix + "b"}, true)
	require.NoError(t, err)
	pairs, err := snap.Enumerate("")
	require.NoError(t, err)
	require.True(t, slices.IsSortedFunc(pairs, func(a, b *kvdb.KVPair) int { return strings.Compare(a.Key, b.Key) }))
	require.NoError(t, kvdb.Close(snap))
	return fmt.Sprint(index, " ", describePairs(pairs))
}

func transact(t *testing.T, kv kvdb.Kvdb, s step) string {
	tx, err := kv.TxNew()
	require.NoError(t, err)
	result := "absent "
	if p, err := tx.Get(s.key); err == nil {
		result = string(p.Value) + " "
	} else if !errors.Is(err, kvdb.ErrNotFound) {
		return errorText(err)
	}
	for _, key := range []string{s.key, s.other} {
		_, err := tx.Put(key, s.value, s.ttl)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Prepare())
	if err := tx.Commit(); err != nil {
		return errorText(err)
	}
	return result + "ok"
}
