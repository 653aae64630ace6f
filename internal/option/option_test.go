package option

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

func TestDeclaredOptions(t *testing.T) {
	o := Declare("a test", Consistency, StoreLogin)
	require.Contains(t, Declared(), o)
	require.Equal(t, map[string]string{kvdb.UsernameKey: "", kvdb.PasswordKey: "x"},
		o.Of(map[string]string{kvdb.UsernameKey: "", kvdb.PasswordKey: "x", kvdb.ACLTokenKey: "y"}))
	require.Empty(t, o.Of(nil))
}

// Values that are not valid are refused with a text that says what is.
func TestBadValues(t *testing.T) {
	for _, value := range []string{"0", "-1", "x"} {
		_, err := Count(map[string]string{"Some": value}, "Some", 1, 5)
		require.EqualError(t, err, `option Some: "`+value+`" is not a positive integer`)
	}
	_, _, err := Login(map[string]string{kvdb.UsernameKey: "me"})
	require.True(t, err == kvdb.ErrNoPassword)
	_, _, err = Login(map[string]string{kvdb.PasswordKey: "secret"})
	require.ErrorContains(t, err, kvdb.PasswordKey)
	require.NotContains(t, err.Error(), "secret")
}

func TestOptions(t *testing.T) {
	for value, want := range map[string]bool{"": false, kvdb.ReadLinearizable: false, kvdb.ReadStale: true} {
		stale, err := StaleReads(map[string]string{kvdb.ReadConsistency: value})
		require.NoError(t, err)
		require.Equal(t, want, stale)
	}
	_, err := StaleReads(nil)
	require.NoError(t, err)
	_, err = StaleReads(map[string]string{kvdb.ReadConsistency: "STALE"})
	require.ErrorContains(t, err, kvdb.ReadConsistency)
	require.ErrorContains(t, err, "STALE")

	require.False(t, SwitchedOn(nil, "option"))
	for value, want := range map[string]bool{"": true, "yes": true, "true": true, "false": false, "0": false} {
		require.Equal(t, want, SwitchedOn(map[string]string{"option": value}, "option"), "%q", value)
	}
}
