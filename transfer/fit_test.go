package transfer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// A pair fits if the target keeps it as it is.
func TestFits(t *testing.T) {
	illegal := errors.New("illegal")
	limits := kvdb.Limits{
		MaxKey: 10, MaxValue: 100, MinTTL: 5 * time.Second, MaxTTL: time.Minute, NoEmptyValue: true, HiddenUnlisted: true,
		MaxTxBytes: 700, CheckKey: func(key string) (string, error) {
			if key == "bad" {
				return "", illegal
			}
			return strings.ReplaceAll(key, "//", "/"), nil
		},
	}
	long := []byte(strings.Repeat("v", 101))
	for i, c := range []struct {
		pair kvdb.KVPair
		mode TTLMode
		want error
	}{
		{kvdb.KVPair{Key: "a/b", Value: long[:100]}, TTLKeep, nil},
		{kvdb.KVPair{Key: "bad", Value: long[:1]}, TTLKeep, illegal},
		{kvdb.KVPair{Key: "a//b", Value: long[:1]}, TTLKeep, kvdb.ErrIllegal},
		{kvdb.KVPair{Key: "a/_b/c", Value: long[:1]}, TTLKeep, kvdb.ErrIllegal},
		{kvdb.KVPair{Key: "_b", Value: long[:1]}, TTLKeep, kvdb.ErrIllegal},
		{kvdb.KVPair{Key: "a_b", Value: long[:1]}, TTLKeep, nil},
		{kvdb.KVPair{Key: "12345678901", Value: long[:1]}, TTLKeep, kvdb.ErrIllegal},
		{kvdb.KVPair{Key: "a"}, TTLKeep, kvdb.ErrEmptyValue},
		{kvdb.KVPair{Key: "a", Value: long}, TTLKeep, kvdb.ErrTooLarge},
		{kvdb.KVPair{Key: "a", Value: long[:1], TTL: 1}, TTLKeep, nil},
		{kvdb.KVPair{Key: "a", Value: long[:1], TTL: 60}, TTLKeep, nil},
		{kvdb.KVPair{Key: "a", Value: long[:1], TTL: 61}, TTLKeep, kvdb.ErrTTLNotSupported},
		{kvdb.KVPair{Key: "a", Value: long[:1], TTL: 61}, TTLDrop, nil},
		{kvdb.KVPair{Key: "a", Value: long[:1], TTL: 1}, TTLFail, kvdb.ErrTTLNotSupported},
		{kvdb.KVPair{Key: "a", Value: long[:1]}, TTLFail, nil},
	} {
		copier := &copier{limits: limits, o: Options{TTL: c.mode}}
		err := copier.fits(&c.pair)
		require.ErrorIs(t, err, c.want, "case %d", i)
		if c.want == nil {
			require.NoError(t, err, "case %d", i)
		}
	}
	keeps := &copier{limits: limits, o: Options{TTL: TTLKeep}}
	for ttl, want := range map[int64]int64{0: 0, 1: 5, 5: 5, 6: 6} {
		require.Equal(t, want, keeps.wanted(&kvdb.KVPair{Key: "a", TTL: ttl}).TTL)
	}
	keeps.limits.NoTTL = true
	require.ErrorIs(t, keeps.fits(&kvdb.KVPair{Key: "a", Value: long[:1], TTL: 1}), kvdb.ErrTTLNotSupported)
	keeps.limits = kvdb.Limits{MaxValue: 5, ServerDefaults: true}
	require.NoError(t, keeps.fits(&kvdb.KVPair{Key: "a", Value: long}), "the server decides")
	keeps.o.Skip = true
	require.ErrorIs(t, keeps.fits(&kvdb.KVPair{Key: "a", Value: long}), kvdb.ErrTooLarge)
	keeps.limits = kvdb.Limits{MaxTxBytes: 600}
	require.ErrorIs(t, keeps.fits(&kvdb.KVPair{Key: "a", Value: long, TTL: 1}), kvdb.ErrTooLarge)
	require.NoError(t, keeps.fits(&kvdb.KVPair{Key: "a", Value: long}))
}

// Below a prefix with a hidden component, the target lists keys.
func TestFitsBelowPrefix(t *testing.T) {
	c := &copier{limits: kvdb.Limits{HiddenUnlisted: true}, o: Options{Prefix: "_dir/"}}
	require.NoError(t, c.fits(&kvdb.KVPair{Key: "_dir/a"}))
	require.ErrorIs(t, c.fits(&kvdb.KVPair{Key: "_dir/_a"}), kvdb.ErrIllegal)
}

// The last comparison finds a pair that does not fit, also if the watch has not told of it yet.
func TestCompareFindsWhatDoesNotFit(t *testing.T) {
	open := func() kvdb.Kvdb {
		kv, err := kvdb.New(mem.Name, "", nil, nil, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
		return kv
	}
	source, target := open(), open()
	_, err := source.Put("key", "", 0)
	require.NoError(t, err)
	for _, skip := range []bool{false, true} {
		c, err := newCopier(source, target, Options{Skip: skip})
		require.NoError(t, err)
		c.limits.NoEmptyValue = true
		r, err := c.compare(t.Context())
		if skip {
			require.NoError(t, err)
			require.Equal(t, []int{1, 0}, []int{r.skipped, r.differences})
		} else {
			require.ErrorIs(t, err, ErrIncompatible)
		}
	}
}

// The base pass satisfies events up to what it has read, but not deletions and later ones.
func TestDirty(t *testing.T) {
	event := func(key string, index uint64, action kvdb.KVAction) *kvdb.KVPair {
		return &kvdb.KVPair{Key: key, ModifiedIndex: index, Action: action}
	}
	d := newDirty(nil)
	d.notify(kvdb.KVPairs{event("a", 5, kvdb.KVSet), event("b", 6, kvdb.KVSet), event("c", 7, kvdb.KVDelete), event("x/"+recordKey, 8, kvdb.KVSet)})
	<-d.changed
	d.read(&kvdb.KVPair{Key: "a", ModifiedIndex: 5})
	d.read(&kvdb.KVPair{Key: "b", ModifiedIndex: 5})
	d.read(nil)
	require.Equal(t, 2, d.len())
	puts, deletes := d.events()
	require.Equal(t, []int{2, 1}, []int{puts, deletes})
	keys, index, all := d.take(1)
	require.Equal(t, []any{1, uint64(8), false}, []any{len(keys), index, all})
	d.add(keys...)
	keys, index, all = d.take(10)
	require.Equal(t, []any{[]string{"b", "c"}, uint64(8), true}, []any{keys, index, all})
}

// Keys of which a watch that folds may not know are looked at again until it tells of them or
// they are gone.
func TestUntold(t *testing.T) {
	known := uint64(10)
	d := newDirty(&known)
	for i, key := range []string{"old", "new", "told", "gone"} {
		d.read(&kvdb.KVPair{Key: key, CreatedIndex: uint64(10 + i)})
	}
	d.notify(kvdb.KVPairs{{Key: "told", ModifiedIndex: 12, Action: kvdb.KVCreate}})
	d.missing("gone")
	keys, _, _ := d.take(10)
	require.Equal(t, []string{"told"}, keys)
	for range 2 {
		d.addUntold()
		keys, _, _ = d.take(10)
		require.Equal(t, []string{"new"}, keys)
	}
}

func ExampleIncompatibleError() {
	err := error(&IncompatibleError{[]Problem{{"a", kvdb.ErrEmptyValue}}, 3})
	fmt.Println(err)
	fmt.Println(errors.Is(err, ErrIncompatible))
	// Output:
	// the target cannot hold pairs of the source: 3, the first is the key "a": Value cannot be empty
	// true
}
