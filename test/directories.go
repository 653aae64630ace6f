package test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portworx/kvdb"
)

// sideBySide returns keys without those that the store cannot hold beside the others.
func (e *env) sideBySide(keys ...string) []string {
	if !e.traits.Directories {
		return keys
	}
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return slices.ContainsFunc(keys, func(other string) bool { return strings.HasPrefix(other, key+"/") })
	})
}

// listed returns keys without those that the store does not list.
func (e *env) listed(keys ...string) []string {
	if !e.traits.HiddenUnlisted {
		return keys
	}
	e.except("keys with a component that begins with `_` are hidden from Keys, PairsWith, watches of a prefix and snapshots too")
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return strings.Contains("/"+key, "/_") })
}

// A key, and another one that has it as a directory.
func keysBesideADirectory(e *env) {
	e.put("dir/a/b", "below")
	if e.traits.Directories {
		e.except("a key cannot be there while another one is below it: `ErrIllegal`")
		for _, key := range []string{"dir", "dir/a", "dir/a/b/c"} {
			for _, value := range []string{"value", ""} {
				_, err := e.kv.Put(key, value, 0)
				e.ErrorIs(err, kvdb.ErrIllegal, key)
				_, err = e.kv.Create(key, value, 0)
				e.ErrorIs(err, kvdb.ErrIllegal, key)
			}
			e.missing(key)
			_, err := e.kv.Update(key, "", 1)
			e.is(kvdb.ErrNotFound, err)
			_, err = e.kv.Delete(key)
			e.is(kvdb.ErrNotFound, err)
		}
		_, err := e.kv.Delete("dir/a/b")
		e.NoError(err)
	}
	e.put("dir/a", "above")
	e.holds("dir/a", "above")
	e.Empty(e.enumerate("dir/a/c"))
	e.NoError(e.kv.DeleteTree("dir/a"))
	e.missing("dir/a/b", "dir/a/b/c")
	e.holds("dir/a", "above")
}

func keysDeleteTreeIsADirectory(e *env) {
	e.NoError(e.kv.DeleteTree("tree"), "DeleteTree of a tree that does not exist must do nothing")
	fill := func() {
		for _, key := range e.sideBySide("tree", "tree/a", "tree/_a", "tree/b/c", "tree/b/d/e", "tree_some", "treetop/x", "other") {
			e.put(key, "value")
		}
	}
	left := []string{"other", "tree", "tree_some", "treetop/x"}
	if e.traits.Directories {
		left = []string{"other", "tree_some", "treetop/x"}
	}
	for _, prefix := range []string{"tree", "tree/"} {
		fill()
		e.NoError(e.kv.DeleteTree(prefix))
		e.Equal(left, e.enumerate(""))
		e.missing("tree/_a", "tree/b/d/e")
		e.NoError(e.kv.DeleteTree(prefix), "a second DeleteTree(%q) must do nothing", prefix)
	}
	fill()
	e.NoError(e.kv.DeleteTree("tree/b"))
	e.Equal(e.sideBySide("tree", "tree/a", "tree_some", "treetop/x"), e.enumerate("tree"))
	e.NoError(e.kv.DeleteTree(""))
	e.Empty(e.enumerate(""))
	e.missing("tree/_a")
	e.put("tree/a", "a new one")
	e.Equal([]string{"tree/a"}, e.enumerate(""))
}

// Nobody sees a tree that is deleted in part.
func keysDeleteTreeIsAtomic(e *env) {
	const size = 8
	noRest := func(int) error {
		pairs, err := e.kv.Enumerate("tree/")
		if err == nil && len(pairs) > 0 && pairs[0].Key != "tree/0" {
			err = fmt.Errorf("a read sees a part of a tree that DeleteTree deletes, which must be atomic: %v", keysOf(pairs))
		}
		return err
	}
	e.during(noRest, 20, func(int) {
		for i := range size { // "tree/0" comes first and would be the first to go
			e.put("tree/"+strconv.Itoa(i), "value")
		}
		e.Len(e.enumerate("tree/"), size)
		e.NoError(e.kv.DeleteTree("tree"))
		e.Empty(e.enumerate("tree/"))
	})
}

func keysFirstLevel(e *env) {
	for _, key := range e.sideBySide(
		"a", "a/b", "a/b/c", "a/b/d", "a/e", "a/f/g/h", "ab/x", "_h/i",
		"s:x:y", "s:x:z", "s::v:w", "s:x", "t--u--v", "t--w",
	) {
		e.put(key, "value")
	}
	for _, c := range []struct {
		prefix, sep string
		want        []string
	}{
		{"a", "/", []string{"b", "e", "f"}},
		{"a", "", []string{"b", "e", "f"}},
		{"a/", "/", []string{"b", "e", "f"}},
		{"a/b", "/", []string{"c", "d"}},
		{"a/f", "/", []string{"g"}},
		{"a/b/c", "/", nil},
		{"nothing", "/", nil},
		{"", "", []string{"_h", "a", "ab", "s::v:w", "s:x", "s:x:y", "s:x:z", "t--u--v", "t--w"}},
		{"s", ":", []string{":v", "x"}},
		{"s:", ":", []string{":v", "x"}},
		{"t", "--", []string{"u", "w"}},
		{"a", "b", []string{"/x"}},
		{"", ":", []string{"_h/i", "a", "a/b", "a/b/c", "a/b/d", "a/e", "a/f/g/h", "ab/x", "s", "t--u--v", "t--w"}},
	} {
		names, err := e.kv.Keys(c.prefix, c.sep)
		e.NoError(err)
		want := e.sideBySide(e.listed(c.want...)...)
		e.Len(names, len(want), "Keys(%q, %q) = %q", c.prefix, c.sep, names)
		e.Equal(strings.Join(want, " "), strings.Join(names, " "), "Keys(%q, %q)", c.prefix, c.sep)
	}
}
