package kvdb_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// opened has the arguments of a call of New.
type opened struct {
	domain   string
	machines []string
	options  map[string]string
	cb       kvdb.FatalErrorCB
}

// registerStub registers a backend whose New returns kv and err.
func registerStub(t testing.TB, kv kvdb.Kvdb, err error) (name string, calls *[]opened) {
	name, calls = unusedName(), &[]opened{}
	require.NoError(t, kvdb.Register(name, func(domain string, machines []string, options map[string]string,
		cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		*calls = append(*calls, opened{domain, machines, options, cb})
		return kv, err
	}, func(url string, options map[string]string) (string, error) {
		return "version of " + url + options["option"], err
	}))
	return name, calls
}

func TestNew(t *testing.T) {
	store := &bare{}
	name, calls := registerStub(t, store, nil)
	called := false
	options := map[string]string{"option": "value"}
	kv, err := kvdb.New(name, "domain", []string{"machine"}, options,
		func(error, string, ...interface{}) { called = true })
	require.NoError(t, err)
	require.Same(t, store, kv)
	require.Len(t, *calls, 1)
	call := (*calls)[0]
	require.Equal(t, "domain", call.domain)
	require.Equal(t, []string{"machine"}, call.machines)
	require.Equal(t, options, call.options)
	call.cb(nil, "")
	require.True(t, called)

	_, err = kvdb.New(name, "", nil, nil, nil)
	require.NoError(t, err)
	require.Equal(t, opened{}, (*calls)[1])
}

func TestNewFails(t *testing.T) {
	_, err := kvdb.New(unusedName(), "", nil, nil, nil)
	require.Equal(t, kvdb.ErrNotSupported, err)

	broken := errors.New("broken")
	name, _ := registerStub(t, nil, broken)
	_, err = kvdb.New(name, "", nil, nil, nil)
	require.Equal(t, broken, err)
}

func TestRegisterTwice(t *testing.T) {
	first, second := &bare{}, &bare{}
	name, _ := registerStub(t, first, nil)
	require.Equal(t, kvdb.ErrExist, kvdb.Register(name,
		func(string, []string, map[string]string, kvdb.FatalErrorCB) (kvdb.Kvdb, error) { return second, nil }, nil))
	kv, err := kvdb.New(name, "", nil, nil, nil)
	require.NoError(t, err)
	require.Same(t, first, kv)
}

func TestVersion(t *testing.T) {
	name, _ := registerStub(t, nil, nil)
	version, err := kvdb.Version(name, "url", map[string]string{"option": "+"})
	require.NoError(t, err)
	require.Equal(t, "version of url+", version)

	_, err = kvdb.Version(unusedName(), "url", nil)
	require.Equal(t, kvdb.ErrNotSupported, err)
	version, err = kvdb.Version(mem.Name, "", nil)
	require.NoError(t, err)
	require.Equal(t, kvdb.MemVersion1, version)
}

func TestRegistryConcurrently(t *testing.T) {
	shared := unusedName()
	var wg sync.WaitGroup
	first := make(chan int, 8)
	for i := range cap(first) {
		wg.Go(func() {
			version := func(string, map[string]string) (string, error) { return fmt.Sprint(i), nil }
			if kvdb.Register(shared, mem.New, version) == nil {
				first <- i
			}
			own := unusedName()
			if err := kvdb.Register(own, mem.New, version); err != nil {
				t.Error(err)
			}
			if kv, err := kvdb.New(own, "", nil, nil, nil); err != nil || kvdb.Close(kv) != nil {
				t.Error(kv, err)
			}
			wrapper := kvdb.WrapperName(own)
			if err := kvdb.RegisterWrapper(wrapper, newLink(wrapper)); err != nil {
				t.Error(err)
			}
			if _, err := kvdb.AddWrapper(wrapper, &bareStore{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Len(t, first, 1)
	version, err := kvdb.Version(shared, "", nil)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(<-first), version)
}

// closable counts its Close calls.
type closable struct {
	bareStore
	closed int
	err    error
}

var _ io.Closer = (*closable)(nil)

func (c *closable) Close() error {
	c.closed++
	return c.err
}

func TestClose(t *testing.T) {
	require.NoError(t, kvdb.Close(nil))
	require.NoError(t, kvdb.Close(&bareStore{}))

	store := &closable{err: errors.New("broken")}
	require.Equal(t, store.err, kvdb.Close(store))
	// Links do not implement io.Closer, so Close closes the store below them.
	require.Equal(t, store.err, kvdb.Close(&link{Kvdb: &link{Kvdb: store}}))
	require.Equal(t, 2, store.closed)
}

func TestBackends(t *testing.T) {
	name, _ := registerStub(t, nil, nil)
	backends := kvdb.Backends()
	require.Contains(t, backends, name)
	require.Contains(t, backends, mem.Name)
	require.True(t, slices.IsSorted(backends))
}
