package settings

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
