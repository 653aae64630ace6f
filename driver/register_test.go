package driver

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

func TestRegister(t *testing.T) {
	opened := errors.New("opened")
	b := Backend{Name: "registered", New: func(string, []string, map[string]string, kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		return nil, opened
	}}
	Register(b)
	require.Panics(t, func() { Register(b) })
	open := func(options map[string]string) error {
		_, err := kvdb.New(b.Name, "", nil, options, nil)
		return err
	}
	require.ErrorIs(t, open(nil), opened)
	require.EqualError(t, open(nil), "registered: opened")
	for _, value := range []string{"", kvdb.ReadLinearizable, kvdb.ReadStale} {
		require.ErrorIs(t, open(map[string]string{kvdb.ReadConsistency: value}), opened)
	}
	err := open(map[string]string{kvdb.ReadConsistency: "STALE"})
	require.ErrorContains(t, err, "registered: option ")
	require.ErrorContains(t, err, kvdb.ReadConsistency)
	require.ErrorContains(t, err, "STALE")
	_, err = kvdb.Version(b.Name, "", nil)
	require.Equal(t, kvdb.ErrNotSupported, err)

	stale, err := StaleReads(map[string]string{kvdb.ReadConsistency: kvdb.ReadStale})
	require.NoError(t, err)
	require.True(t, stale)
}

// Programs compare these errors with ==.
func TestBareErrors(t *testing.T) {
	var failure error
	Register(Backend{Name: "bare", New: func(string, []string, map[string]string, kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		return nil, failure
	}})
	for _, failure = range []error{
		kvdb.ErrNotSupported, kvdb.ErrNoPassword, kvdb.ErrAuthNotSupported, kvdb.ErrNoCertificate,
		ErrSnapWithInterfaceNotSupported, nil,
	} {
		_, err := kvdb.New("bare", "", nil, nil, nil)
		require.Equal(t, failure, err)
	}
}

func TestDeclaredOptions(t *testing.T) {
	broken := errors.New("broken")
	open := func(b Backend, option string) error {
		b.New = func(string, []string, map[string]string, kvdb.FatalErrorCB) (kvdb.Kvdb, error) { return nil, broken }
		Register(b)
		_, err := kvdb.Open(context.Background(), kvdb.Config{Backend: b.Name, Options: map[string]string{option: ""}, Strict: true})
		return err
	}
	require.ErrorIs(t, open(Backend{Name: "without options", Options: []string{}}, "Size"), kvdb.ErrIllegal)
	require.ErrorIs(t, open(Backend{Name: "with options", Options: []string{"Size"}}, "Size"), broken)
	require.ErrorIs(t, open(Backend{Name: "with consistency", Options: []string{"Size"}}, kvdb.ReadConsistency), broken)
	require.ErrorIs(t, open(Backend{Name: "undeclared"}, "Size"), kvdb.ErrNotSupported)
}
