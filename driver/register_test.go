package driver

import (
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
	require.Equal(t, opened, open(nil))
	for _, value := range []string{"", kvdb.ReadLinearizable, kvdb.ReadStale} {
		require.Equal(t, opened, open(map[string]string{kvdb.ReadConsistency: value}))
	}
	err := open(map[string]string{kvdb.ReadConsistency: "STALE"})
	require.ErrorContains(t, err, kvdb.ReadConsistency)
	require.ErrorContains(t, err, "STALE")
	_, err = kvdb.Version(b.Name, "", nil)
	require.Equal(t, kvdb.ErrNotSupported, err)

	stale, err := StaleReads(map[string]string{kvdb.ReadConsistency: kvdb.ReadStale})
	require.NoError(t, err)
	require.True(t, stale)
}
