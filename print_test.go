package kvdb_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

func TestNamesOfActionsAndPermissions(t *testing.T) {
	for want, value := range map[string]fmt.Stringer{
		"set": kvdb.KVSet, "create": kvdb.KVCreate, "get": kvdb.KVGet, "delete": kvdb.KVDelete,
		"expire": kvdb.KVExpire, "unknown": kvdb.KVUknown, "KVAction(0)": kvdb.KVAction(0),
		"read": kvdb.PermissionType(kvdb.ReadPermission), "write": kvdb.PermissionType(kvdb.WritePermission),
		"read-write": kvdb.PermissionType(kvdb.ReadWritePermission), "PermissionType(-1)": kvdb.PermissionType(-1),
	} {
		require.Equal(t, want, value.String())
	}
}

// A pair and a pointer to one print the same, a nil pointer too, on one line whose
// length does not depend on the value's.
func TestPrintedPair(t *testing.T) {
	pair := kvdb.KVPair{
		Key: "a\nb", Value: []byte("x\x00\xff"), Action: kvdb.KVSet, TTL: math.MaxInt64,
		KVDBIndex: 9, CreatedIndex: 3, ModifiedIndex: math.MaxUint64, Lock: "me",
	}
	for _, printed := range []string{fmt.Sprint(pair), fmt.Sprint(&pair), fmt.Sprintf("%v", pair), fmt.Sprintf("%+v", &pair), pair.String()} {
		require.Equal(t, `"a\nb": "x\x00\xff", set, created 3, modified 18446744073709551615, index 9, TTL 9223372036854775807, lock`, printed)
	}
	require.Equal(t, `"": ""`, fmt.Sprint(kvdb.KVPair{TTL: -1}))
	require.Equal(t, "<nil>", fmt.Sprint((*kvdb.KVPair)(nil)))
	long := kvdb.KVPair{Value: []byte(strings.Repeat("é", 1000))}
	require.Equal(t, `"": "`+strings.Repeat("é", 32)+`"… (2000 bytes)`, fmt.Sprint(long))
	long.Value = long.Value[:64]
	require.Equal(t, `"": "`+strings.Repeat("é", 32)+`"`, fmt.Sprint(long))
}
