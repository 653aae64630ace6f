package test

import (
	"fmt"
	"strconv"
	"strings"
)

func keysDeleteTreeIsADirectory(e *env) {
	e.NoError(e.kv.DeleteTree("tree"), "a tree that is not there")
	fill := func() {
		for _, key := range []string{"tree", "tree/a", "tree/_a", "tree/b/c", "tree/b/d/e", "tree_some", "treetop/x", "other"} {
			e.put(key, "value")
		}
	}
	left := []string{"other", "tree", "tree_some", "treetop/x"}
	for _, prefix := range []string{"tree", "tree/"} {
		fill()
		e.NoError(e.kv.DeleteTree(prefix))
		e.Equal(left, e.enumerate(""))
		e.missing("tree/_a", "tree/b/d/e")
		e.NoError(e.kv.DeleteTree(prefix), "once more")
	}
	fill()
	e.NoError(e.kv.DeleteTree("tree/b"))
	e.Equal([]string{"tree", "tree/a", "tree_some", "treetop/x"}, e.enumerate("tree"))
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
			err = fmt.Errorf("the rest of a tree: %v", keysOf(pairs))
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
	for _, key := range []string{
		"a", "a/b", "a/b/c", "a/b/d", "a/e", "a/f/g/h", "ab/x", "_h/i",
		"s:x:y", "s:x:z", "s::v:w", "s:x", "t--u--v", "t--w",
	} {
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
		e.Len(names, len(c.want), "Keys(%q, %q) = %q", c.prefix, c.sep, names)
		e.Equal(strings.Join(c.want, " "), strings.Join(names, " "), "Keys(%q, %q)", c.prefix, c.sep)
	}
}
