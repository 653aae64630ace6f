package test

import (
	"strings"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

var selectGroup = group{name: "Selects", calls: "GetWithCopy, EnumerateWithSelect, EnumerateKVPWithSelect", cases: []testCase{
	{name: "GetWithCopy", run: selectsGetWithCopy},
	{name: "Values", run: selectsValues},
	{name: "Pairs", run: selectsPairs},
	{name: "Illegal", run: selectsIllegal},
	{name: "Object", run: selectsObject},
}}

// text returns the value that a callback got, or with Traits.Objects the stored string, as
// text.
func (e *env) text(val interface{}) string {
	e.t.Helper()
	if e.traits.Objects {
		s, ok := val.(string)
		e.True(ok, "the callback got a %T; with Traits.Objects it must get the object that was stored, a string", val)
		return s
	}
	b, ok := val.([]byte)
	e.True(ok, "the callback got a %T; it must get the value as []byte, unless Traits.Objects is set", val)
	return string(b)
}

func selectsGetWithCopy(e *env) {
	e.put("key", "value")
	got, err := e.kv.GetWithCopy("key", func(val interface{}) interface{} { return "copy of " + e.text(val) })
	e.NoError(err)
	e.Equal("copy of value", got)
	_, err = e.kv.GetWithCopy("missing", func(val interface{}) interface{} { return val })
	e.is(kvdb.ErrNotFound, err)
}

func selectsValues(e *env) {
	for _, key := range []string{"in/c", "in/a", "in/_b", "in/d", "out"} {
		e.put(key, "value of "+key)
	}
	got, err := e.kv.EnumerateWithSelect("in/",
		func(val interface{}) bool { return !strings.HasSuffix(e.text(val), "c") },
		func(val interface{}) interface{} { return "copy of " + e.text(val) })
	e.NoError(err)
	e.Equal([]interface{}{"copy of value of in/a", "copy of value of in/d"}, got)
	got, err = e.kv.EnumerateWithSelect("", func(interface{}) bool { return false },
		func(interface{}) interface{} { e.Fail("copy of what was not selected"); return nil })
	e.NoError(err)
	e.Empty(got)
	got, err = e.kv.EnumerateWithSelect("none", func(interface{}) bool { return true },
		func(val interface{}) interface{} { return val })
	e.NoError(err)
	e.Empty(got)
}

func selectsPairs(e *env) {
	for _, key := range []string{"in/c", "in/a", "in/_b", "in/d", "out"} {
		e.put(key, "value of "+key)
	}
	got, err := e.kv.EnumerateKVPWithSelect("in/",
		func(pair *kvdb.KVPair, val interface{}) bool {
			e.Equal("value of "+pair.Key, e.text(val))
			return pair.Key != "in/c"
		},
		func(pair *kvdb.KVPair, val interface{}) *kvdb.KVPair {
			return &kvdb.KVPair{Key: "copy of " + pair.Key, Value: []byte(e.text(val))}
		})
	e.NoError(err)
	e.Equal(kvdb.KVPairs{
		{Key: "copy of in/a", Value: []byte("value of in/a")}, {Key: "copy of in/d", Value: []byte("value of in/d")},
	}, got)
}

// A nil callback, or a copy callback that returns nil, is an error.
func selectsIllegal(e *env) {
	e.put("key", "value")
	selectVal, copyVal := func(interface{}) bool { return true }, func(val interface{}) interface{} { return val }
	selectPair := func(*kvdb.KVPair, interface{}) bool { return true }
	copyPair := func(pair *kvdb.KVPair, _ interface{}) *kvdb.KVPair { return pair }
	for call, f := range map[string]func() error{
		"copy": func() error { _, err := e.kv.GetWithCopy("key", nil); return err },
		"nil copy": func() error {
			_, err := e.kv.GetWithCopy("key", func(interface{}) interface{} { return nil })
			return err
		},
		"selectVal": func() error { _, err := e.kv.EnumerateWithSelect("", nil, copyVal); return err },
		"copyVal":   func() error { _, err := e.kv.EnumerateWithSelect("", selectVal, nil); return err },
		"nil copyVal": func() error {
			_, err := e.kv.EnumerateWithSelect("", selectVal, func(interface{}) interface{} { return nil })
			return err
		},
		"selectPair": func() error { _, err := e.kv.EnumerateKVPWithSelect("", nil, copyPair); return err },
		"copyPair":   func() error { _, err := e.kv.EnumerateKVPWithSelect("", selectPair, nil); return err },
		"nil copyPair": func() error {
			_, err := e.kv.EnumerateKVPWithSelect("", selectPair,
				func(*kvdb.KVPair, interface{}) *kvdb.KVPair { return nil })
			return err
		},
	} {
		err := f()
		e.True(err == mem.ErrIllegalSelect, "%s with a nil callback, or one that returned nil, returned %v; it must be mem.ErrIllegalSelect itself", call, err)
	}
}

// The callbacks get the object itself if the store keeps it.
func selectsObject(e *env) {
	stored := &object{"x", 1}
	same := func(val interface{}) interface{} { return val }
	for call, write := range e.writers() {
		e.put(call, "before")
		pair, err := write(call, stored)
		e.NoError(err)
		got, err := e.kv.GetWithCopy(pair.Key, same)
		e.NoError(err)
		values, err := e.kv.EnumerateWithSelect(pair.Key, func(interface{}) bool { return true }, same)
		e.NoError(err)
		e.Len(values, 1)
		e.holds(pair.Key, `{"Name":"x","Count":1}`)
		if e.traits.Objects {
			e.Same(stored, got, call)
			e.Same(stored, values[0], call)
			continue
		}
		e.Equal([]byte(`{"Name":"x","Count":1}`), got, call)
		e.Equal(got, values[0], call)
	}
	var decoded object
	_, err := e.kv.GetVal("Put", &decoded)
	e.NoError(err)
	e.Equal(*stored, decoded)
}
