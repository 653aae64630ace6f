package test

import (
	"strconv"
	"strings"

	"github.com/portworx/kvdb"
)

var valueGroup = group{name: "Values", calls: "values", cases: []testCase{
	{name: "Encoding", run: valuesEncoding},
	{name: "NotEncodable", run: valuesNotEncodable},
	{name: "Empty", run: valuesEmpty},
	{name: "Binary", run: valuesBinary},
	{name: "Decoding", run: valuesDecoding},
	{name: "OfInputAreCopied", run: valuesOfInputAreCopied},
	{name: "OfOutputAreCopies", run: valuesOfOutputAreCopies},
	{name: "TooLarge", run: valuesTooLarge},
	{name: "Limits", run: valuesLimits},
}}

type object struct {
	Name  string
	Count int
}

// writers returns the calls that write a value at an existing key.
func (e *env) writers() map[string]func(key string, value interface{}) (*kvdb.KVPair, error) {
	writers := map[string]func(key string, value interface{}) (*kvdb.KVPair, error){
		"Put":    func(key string, value interface{}) (*kvdb.KVPair, error) { return e.kv.Put(key, value, 0) },
		"Update": func(key string, value interface{}) (*kvdb.KVPair, error) { return e.kv.Update(key, value, 0) },
		"Create": func(key string, value interface{}) (*kvdb.KVPair, error) {
			return e.kv.Create(key+"-new", value, 0)
		},
	}
	if !e.traits.NoTx {
		writers["Tx"] = e.txPut
	}
	return writers
}

// txPut writes one key in a transaction of its own.
func (e *env) txPut(key string, value interface{}) (*kvdb.KVPair, error) {
	tx, err := e.kv.TxNew()
	if err != nil {
		return nil, err
	}
	pair, err := tx.Put(key, value, 0)
	if err != nil {
		return nil, err
	}
	return pair, tx.Commit()
}

func valuesEncoding(e *env) {
	for call, write := range e.writers() {
		for i, c := range []struct {
			value interface{}
			want  string
		}{
			{[]byte("bytes {"), "bytes {"},
			{"string {", "string {"},
			{object{"x", 1}, `{"Name":"x","Count":1}`},
			{&object{"x", 1}, `{"Name":"x","Count":1}`},
			{[]string{"a"}, `["a"]`},
			{17, "17"},
			{nil, "null"},
		} {
			key := call + strconv.Itoa(i)
			e.put(key, "before")
			pair, err := write(key, c.value)
			e.NoError(err)
			e.Equal(c.want, string(pair.Value), "%s of %#v", call, c.value)
			e.Equal(c.want, string(e.holds(pair.Key, c.want).Value))
		}
	}
}

func valuesNotEncodable(e *env) {
	before := e.put("key", "before")
	for call, write := range e.writers() {
		for _, value := range []interface{}{func() {}, make(chan int), map[string]interface{}{"f": func() {}}} {
			_, err := write("key", value)
			e.Error(err, "%s of a %T", call, value)
		}
	}
	e.Equal(before.ModifiedIndex, e.holds("key", "before").ModifiedIndex)
	e.missing("key-new")
}

func valuesEmpty(e *env) {
	e.put("key", "before")
	cas := func(value []byte) error {
		_, err := e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: value}, kvdb.KVPrevExists, nil)
		return err
	}
	if e.traits.NoEmptyValue {
		e.except("an empty value is `ErrEmptyValue`")
		for _, write := range e.writers() {
			for _, empty := range []interface{}{"", []byte{}, []byte(nil)} {
				_, err := write("key", empty)
				e.is(kvdb.ErrEmptyValue, err)
			}
		}
		e.is(kvdb.ErrEmptyValue, cas(nil))
		e.holds("key", "before")
		e.missing("key-new")
		return
	}
	i := 0
	for _, write := range e.writers() {
		for _, empty := range []interface{}{"", []byte{}, []byte(nil)} {
			key := strconv.Itoa(i)
			e.put(key, "before")
			pair, err := write(key, empty)
			e.NoError(err)
			e.Empty(pair.Value)
			e.holds(pair.Key, "")
			e.Equal([]string{pair.Key}, e.enumerate(pair.Key))
			i++
		}
	}
	e.NoError(cas(nil))
	e.holds("key", "")
	e.NoError(cas([]byte{}))
	old, err := e.kv.Delete("key")
	e.NoError(err)
	e.Empty(old.Value)
}

func valuesBinary(e *env) {
	binary := make([]byte, 512)
	for i := range binary {
		binary[i] = byte(i)
	}
	r := e.watchKey("key", 0)
	e.put("key", binary)
	e.holds("key", string(binary))
	pairs, err := e.kv.Enumerate("key")
	e.NoError(err)
	e.Equal(binary, pairs[0].Value)
	r.seesValue(string(binary))
	_, err = e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte{0}}, 0, binary)
	e.NoError(err)
	e.holds("key", "\x00")
}

func valuesDecoding(e *env) {
	want := object{"x", 1}
	e.put("key", want)
	var got object
	pair, err := e.kv.GetVal("key", &got)
	e.NoError(err)
	e.Equal(want, got)
	e.Equal("key", pair.Key)
	e.put("key", "no JSON")
	pair, err = e.kv.GetVal("key", &got)
	e.is(kvdb.ErrUnmarshal, err)
	e.NotNil(pair, "GetVal must return the pair with kvdb.ErrUnmarshal")
	e.Equal("no JSON", string(pair.Value))
	_, err = e.kv.GetVal("missing", &got)
	e.is(kvdb.ErrNotFound, err)
	e.put("key", want)
	_, err = e.kv.GetVal("key", got)
	e.is(kvdb.ErrUnmarshal, err)
}

// The caller may change what it passed in after the call.
func valuesOfInputAreCopied(e *env) {
	if e.traits.Objects {
		e.except("objects are stored uncopied")
		return // the cases about select callbacks assert that
	}
	for call, write := range e.writers() {
		value := []byte("value")
		e.put(call, "before")
		pair, err := write(call, value)
		e.NoError(err)
		value[0] = '!'
		e.holds(pair.Key, "value")
		e.Equal("value", string(pair.Value))
		pair.Value[0] = '!'
		e.holds(pair.Key, "value")
	}
	pair := &kvdb.KVPair{Key: "Put", Value: []byte("cas")}
	written, err := e.kv.CompareAndSet(pair, kvdb.KVPrevExists, nil)
	e.NoError(err)
	pair.Value[0], pair.Key = '!', "other"
	written.Value[1] = '!'
	e.holds("Put", "cas")

	if e.traits.NoTx {
		return
	}
	tx, err := e.kv.TxNew()
	e.NoError(err)
	value := []byte("tx")
	_, err = tx.Put("Put", value, 0)
	e.NoError(err)
	value[0] = '!'
	own, err := tx.Get("Put")
	e.NoError(err)
	e.Equal("tx", string(own.Value))
	own.Value[0] = '!'
	e.NoError(tx.Commit())
	e.holds("Put", "tx")
}

// The caller may change what it got, including events.
func valuesOfOutputAreCopies(e *env) {
	first, second := e.watchTree("", 0), e.watchTree("", 0)
	e.put("key", "value")
	if first != nil {
		first.next().Value[0] = '!'
		e.Equal("value", string(second.next().Value))
	}
	e.holds("key", "value").Value[0] = '!'
	e.holds("key", "value").Key = "other"
	var any interface{}
	pair, err := e.kv.GetVal("key", &any)
	e.is(kvdb.ErrUnmarshal, err)
	pair.Value[0] = '!'
	pairs, err := e.kv.Enumerate("")
	e.NoError(err)
	pairs[0].Value[0], pairs[0].Key = '!', "other"
	e.holds("key", "value")
	if snapshot, _ := e.snapshot(); snapshot != nil {
		for range 2 {
			pair, err := snapshot.Get("key")
			e.NoError(err)
			e.Equal("value", string(pair.Value))
			pair.Value[0] = '!'
		}
	}
	e.holds("key", "value")
	e.Equal([]string{"key"}, e.enumerate(""))
	old, err := e.kv.Delete("key")
	e.NoError(err)
	old.Value[0] = '!'
	if e.traits.DeletedValue && first != nil {
		deleted := second.next()
		e.Equal("value", string(deleted.Value))
		deleted.Value[0] = '!'
		e.Equal("value", string(first.next().Value))
	}
}

func valuesTooLarge(e *env) {
	if e.traits.MaxValue == 0 {
		large := strings.Repeat("x", maxProbeValue)
		e.put("key", large)
		e.True(string(e.holds("key", large).Value) == large)
		return
	}
	e.except("values up to %d bytes", e.traits.MaxValue)
	e.put("key", "before")
	large := strings.Repeat("x", e.traits.MaxValue+1)
	for call, write := range e.writers() {
		_, err := write("key", large)
		e.ErrorIs(err, kvdb.ErrTooLarge, call)
		e.ErrorContains(err, strconv.Itoa(e.traits.MaxValue), call)
	}
	_, err := e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte(large)}, kvdb.KVPrevExists, nil)
	e.ErrorIs(err, kvdb.ErrTooLarge)
	e.holds("key", "before")
	e.missing("key-new")
	large = large[:max(1, e.traits.MaxValue-requestRoom)]
	e.put("key", large)
	e.True(string(e.holds("key", large).Value) == large)
}
