package kvdb_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	_ "github.com/portworx/kvdb/wrappers" // the log wrapper, which stays on top
)

// bareStore is a store that wraps nothing.
type bareStore struct{ kvdb.Kvdb }

func (s *bareStore) WrapperName() kvdb.WrapperName { return kvdb.Wrapper_None }
func (s *bareStore) WrappedKvdb() kvdb.Kvdb        { return nil }

// link is a wrapper.
type link struct {
	kvdb.Kvdb
	name    kvdb.WrapperName
	options map[string]string
	removed int
	stuck   error // the error of SetWrappedKvdb
}

func (l *link) WrapperName() kvdb.WrapperName { return l.name }
func (l *link) WrappedKvdb() kvdb.Kvdb        { return l.Kvdb }
func (l *link) Removed()                      { l.removed++ }
func (l *link) SetWrappedKvdb(kv kvdb.Kvdb) error {
	if l.stuck == nil {
		l.Kvdb = kv
	}
	return l.stuck
}

func newLink(name kvdb.WrapperName) kvdb.WrapperInit {
	return func(kv kvdb.Kvdb, options map[string]string) (kvdb.Kvdb, error) {
		return &link{Kvdb: kv, name: name, options: options}, nil
	}
}

// registerLinks registers n wrappers and returns their names.
func registerLinks(t *testing.T, n int) []kvdb.WrapperName {
	names := make([]kvdb.WrapperName, n)
	for i := range names {
		names[i] = kvdb.WrapperName(unusedName())
		require.NoError(t, kvdb.RegisterWrapper(names[i], newLink(names[i])))
	}
	return names
}

// chain returns the names of kv's wrappers, outermost first.
func chain(kv kvdb.Kvdb) []kvdb.WrapperName {
	names := []kvdb.WrapperName{}
	for ; kv.WrapperName() != kvdb.Wrapper_None; kv = kv.WrappedKvdb() {
		names = append(names, kv.WrapperName())
	}
	return names
}

func logOptions(t *testing.T) map[string]string {
	return map[string]string{kvdb.LogPathOption: filepath.Join(t.TempDir(), "log")}
}

func TestRegisterWrapperTwice(t *testing.T) {
	name := registerLinks(t, 1)[0]
	require.Equal(t, kvdb.ErrExist, kvdb.RegisterWrapper(name, newLink(name)))
}

func TestAddWrapper(t *testing.T) {
	names := registerLinks(t, 2)
	store := &bareStore{}
	options := map[string]string{"option": "value"}
	kv, err := kvdb.AddWrapper(names[0], store, options)
	require.NoError(t, err)
	require.Equal(t, options, kv.(*link).options)
	require.Same(t, store, kv.WrappedKvdb())
	kv, err = kvdb.AddWrapper(names[1], kv, nil)
	require.NoError(t, err)
	require.Equal(t, []kvdb.WrapperName{names[1], names[0]}, chain(kv))

	for _, name := range names { // including those that are not outermost
		again, err := kvdb.AddWrapper(name, kv, nil)
		require.True(t, err == kvdb.ErrExist)
		require.Same(t, kv, again)
	}
	unknown := kvdb.WrapperName(unusedName())
	same, err := kvdb.AddWrapper(unknown, kv, nil)
	require.True(t, err == kvdb.ErrNotSupported)
	require.Same(t, kv, same)
	require.Len(t, chain(kv), 2)
}

func TestAddWrapperToNothing(t *testing.T) {
	_, err := kvdb.AddWrapper(kvdb.Wrapper_Log, nil, nil)
	require.ErrorIs(t, err, kvdb.ErrIllegal)
}

func TestAddWrapperFails(t *testing.T) {
	broken := errors.New("broken")
	name := kvdb.WrapperName(unusedName())
	require.NoError(t, kvdb.RegisterWrapper(name, func(kvdb.Kvdb, map[string]string) (kvdb.Kvdb, error) {
		return nil, broken
	}))
	for _, kv := range []kvdb.Kvdb{&bareStore{}, &link{Kvdb: &bareStore{}, name: kvdb.Wrapper_Log}} {
		before := chain(kv)
		same, err := kvdb.AddWrapper(name, kv, nil)
		require.Equal(t, broken, err)
		require.Same(t, kv, same)
		require.Equal(t, before, chain(kv))
	}
}

// A wrapper that is added later goes below a log wrapper on top.
func TestLogWrapperStaysOnTop(t *testing.T) {
	names := registerLinks(t, 3)
	kv, err := kvdb.AddWrapper(names[0], newMem(t, nil), nil)
	require.NoError(t, err)
	logged, err := kvdb.AddWrapper(kvdb.Wrapper_Log, kv, logOptions(t))
	require.NoError(t, err)
	for _, name := range names[1:] {
		kv, err = kvdb.AddWrapper(name, logged, nil)
		require.NoError(t, err)
		require.Same(t, logged, kv)
	}
	require.Equal(t, []kvdb.WrapperName{kvdb.Wrapper_Log, names[2], names[1], names[0]}, chain(kv))
	kv, err = kvdb.RemoveWrapper(kvdb.Wrapper_Log, kv)
	require.NoError(t, err)
	require.Equal(t, []kvdb.WrapperName{names[2], names[1], names[0]}, chain(kv))
}

func TestRemoveWrapper(t *testing.T) {
	store := &bareStore{}
	low := &link{Kvdb: store, name: "low"}
	middle := &link{Kvdb: low, name: "middle"}
	top := &link{Kvdb: middle, name: "top"}

	same, err := kvdb.RemoveWrapper("other", top)
	require.NoError(t, err)
	require.Same(t, top, same)
	same, err = kvdb.RemoveWrapper("other", store)
	require.NoError(t, err)
	require.Same(t, store, same)

	kv, err := kvdb.RemoveWrapper("middle", top)
	require.NoError(t, err)
	require.Same(t, top, kv)
	require.Equal(t, []kvdb.WrapperName{"top", "low"}, chain(kv))
	kv, err = kvdb.RemoveWrapper("top", kv)
	require.NoError(t, err)
	require.Same(t, low, kv)
	kv, err = kvdb.RemoveWrapper("low", kv)
	require.NoError(t, err)
	require.Same(t, store, kv)
	for _, l := range []*link{low, middle, top} {
		require.Equal(t, 1, l.removed, l.name)
	}
}

// A wrapper that cannot be removed stays, and its Removed method is not called.
func TestRemoveWrapperFails(t *testing.T) {
	low := &link{Kvdb: &bareStore{}, name: "low"}
	top := &link{Kvdb: low, name: "top", stuck: errors.New("stuck")}
	kv, err := kvdb.RemoveWrapper("low", top)
	require.Equal(t, top.stuck, err)
	require.Same(t, top, kv)
	require.Equal(t, []kvdb.WrapperName{"top", "low"}, chain(kv))
	require.Zero(t, low.removed)
}

// The option stacks wrappers innermost first.
func TestNewWithWrappers(t *testing.T) {
	names := registerLinks(t, 2)
	store := &closable{}
	backend, _ := registerStub(t, store, nil)
	for option, want := range map[string][]kvdb.WrapperName{
		"":                                {},
		string(names[0]):                  {names[0]},
		string(names[0] + "," + names[1]): {names[1], names[0]},
		string(" " + names[1] + " ,, " + names[0]):     {names[0], names[1]},
		string(kvdb.Wrapper_Log + "," + names[0]):      {kvdb.Wrapper_Log, names[0]},
		string(names[0] + "," + kvdb.Wrapper_NoQuorum): {kvdb.Wrapper_NoQuorum, names[0]},
	} {
		options := logOptions(t)
		options[kvdb.WrappersOption] = option
		kv, err := kvdb.New(backend, "", nil, options, nil)
		require.NoError(t, err)
		require.Equal(t, want, chain(kv), option)
		require.NoError(t, kvdb.Close(kv))
	}
}

// If a wrapper cannot be added, New fails and closes the store.
func TestNewWithWrappersFails(t *testing.T) {
	name := string(registerLinks(t, 1)[0])
	store := &closable{err: errors.New("broken")}
	backend, calls := registerStub(t, store, nil)
	kv, err := kvdb.New(backend, "", nil, map[string]string{kvdb.WrappersOption: name + "," + name}, nil)
	require.Nil(t, kv)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorIs(t, err, store.err, "the error of Close must be in that of New")
	require.ErrorContains(t, err, kvdb.WrappersOption)
	require.Equal(t, 1, store.closed)

	unknown := unusedName()
	kv, err = kvdb.New(backend, "", nil, map[string]string{kvdb.WrappersOption: name + "," + unknown}, nil)
	require.Nil(t, kv)
	require.ErrorIs(t, err, kvdb.ErrNotSupported)
	require.ErrorContains(t, err, kvdb.WrappersOption)
	require.ErrorContains(t, err, unknown)
	require.Len(t, *calls, 1, "with a wrapper that is not registered the store is not opened")
}
