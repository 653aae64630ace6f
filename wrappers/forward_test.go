package wrappers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mock/ubermock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is part of every value and password in the tests.
const secret = "the secret"

// operations are the methods of kvdb.Kvdb, without those that stack wrappers.
func operations() map[string]reflect.Type {
	methods := map[string]reflect.Type{}
	all, stacking := reflect.TypeFor[kvdb.Kvdb](), reflect.TypeFor[kvdb.KvdbWrapper]()
	for m := range all.Methods() {
		if _, stacks := stacking.MethodByName(m.Name); !stacks {
			methods[m.Name] = m.Type
		}
	}
	return methods
}

// sample returns a value of type t that is not its zero value.
func sample(t reflect.Type, n int) reflect.Value {
	switch t {
	case reflect.TypeFor[string]():
		return reflect.ValueOf(fmt.Sprintf("text%d", n))
	case reflect.TypeFor[interface{}](), reflect.TypeFor[[]byte]():
		return reflect.ValueOf([]byte(secret))
	case reflect.TypeFor[*kvdb.KVPair]():
		return reflect.ValueOf(&kvdb.KVPair{
			Key: "text0", Value: []byte(secret), CreatedIndex: 101, ModifiedIndex: 102, KVDBIndex: 103,
		})
	case reflect.TypeFor[error]():
		return reflect.Zero(t)
	}
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n + 7))
	case reflect.Uint64:
		v.SetUint(uint64(n + 7))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.Append(v, sample(t.Elem(), n)))
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(sample(t.Key(), n), reflect.Zero(t.Elem()))
	case reflect.Func:
		v.Set(reflect.MakeFunc(t, func([]reflect.Value) []reflect.Value {
			results := []reflect.Value{}
			for out := range t.Outs() {
				results = append(results, reflect.Zero(out))
			}
			return results
		}))
	}
	return v
}

// arguments returns a sample of each argument that a method takes.
func arguments(name string, method reflect.Type) []reflect.Value {
	args := []reflect.Value{}
	for in := range method.Ins() {
		args = append(args, sample(in, len(args)))
	}
	if name == "AddUser" {
		args[1] = reflect.ValueOf(secret)
	}
	return args
}

// expect makes m expect one call with these arguments, and returns the results of that
// call: samples, and err for an error.
func expect(m *ubermock.MockKvdb, name string, method reflect.Type, args []reflect.Value, err error) []any {
	matchers := []reflect.Value{}
	for _, arg := range args {
		matcher := gomock.Eq(arg.Interface())
		if arg.Kind() == reflect.Func { // no two functions are equal
			matcher = gomock.Not(gomock.Nil())
		}
		matchers = append(matchers, reflect.ValueOf(matcher))
	}
	results := []any{}
	for out := range method.Outs() {
		result := sample(out, len(results)).Interface()
		if out == reflect.TypeFor[error]() && err != nil {
			result = err
		}
		results = append(results, result)
	}
	call := reflect.ValueOf(m.EXPECT()).MethodByName(name).Call(matchers)
	call[0].MethodByName("Return").Interface().(func(...any) *gomock.Call)(results...)
	return results
}

// call calls a method of kv.
func call(kv kvdb.Kvdb, name string, args []reflect.Value) []any {
	results := []any{}
	for _, result := range reflect.ValueOf(kv).MethodByName(name).Call(args) {
		results = append(results, result.Interface())
	}
	return results
}

// errMocked is the error of the mocked store.
var errMocked = errors.New("mocked failure")

// logOf wraps kv with a log in a temporary folder, and returns a function that reads its
// lines.
func logOf(t *testing.T, kv kvdb.Kvdb, options map[string]string) (kvdb.Kvdb, func() []string) {
	path := filepath.Join(t.TempDir(), "audit.log")
	all := map[string]string{kvdb.LogPathOption: path}
	for name, value := range options {
		all[name] = value
	}
	w, err := NewLogWrapper(kv, all)
	require.NoError(t, err)
	t.Cleanup(w.Removed)
	return w, func() []string {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	}
}
