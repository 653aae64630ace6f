package mem_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, options map[string]string) kvdb.Kvdb {
	t.Helper()
	kv, err := kvdb.New(mem.Name, "domain", nil, options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

func TestRegistered(t *testing.T) {
	require.Equal(t, "kv-mem", mem.Name)
	kv := open(t, nil)
	require.Equal(t, mem.Name, kv.String())
	require.Equal(t, kvdb.KVCapabilityOrderedUpdates, kv.Capabilities())
	version, err := kvdb.Version(mem.Name, "", nil)
	require.NoError(t, err)
	require.Equal(t, kvdb.MemVersion1, version)
	require.Equal(t, driver.ErrSnap, mem.ErrSnap)
	require.Equal(t, driver.ErrSnapWithInterfaceNotSupported, mem.ErrSnapWithInterfaceNotSupported)
	require.Equal(t, driver.ErrIllegalSelect, mem.ErrIllegalSelect)
}

func TestBadOptions(t *testing.T) {
	for name, value := range map[string]string{
		mem.KvHistory: "many", kvdb.ReadConsistency: "eventual",
	} {
		_, err := kvdb.New(mem.Name, "", nil, map[string]string{name: value}, nil)
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, value)
	}
	for _, value := range []string{"0", "-1", "1.5"} {
		_, err := kvdb.New(mem.Name, "", nil, map[string]string{mem.KvHistory: value}, nil)
		require.ErrorContains(t, err, mem.KvHistory)
	}
	_, err := kvdb.New(mem.Name, "", nil, map[string]string{mem.KvSnap: "", mem.KvUseInterface: ""}, nil)
	require.Equal(t, mem.ErrSnapWithInterfaceNotSupported, err)
}

// The presence of an option switches it on, unless its value is false.
func TestOptionsOnByPresence(t *testing.T) {
	for value, on := range map[string]bool{
		"": true, "true": true, "1": true, "/some/path": true, "false": false, "0": false,
	} {
		kv := open(t, map[string]string{mem.KvSnap: value})
		_, err := kv.Put("key", "value", 0)
		if on {
			require.Equal(t, mem.ErrSnap, err, "KvSnap=%q", value)
		} else {
			require.NoError(t, err, "KvSnap=%q", value)
		}
	}
}

func TestEachInstanceIsAStore(t *testing.T) {
	a, b := open(t, nil), open(t, nil)
	pair, err := a.Put("key", "value", 0)
	require.NoError(t, err)
	require.Equal(t, uint64(1), pair.ModifiedIndex)
	_, err = b.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err)
}

// modes are the options of both kinds of store.
var modes = map[string]map[string]string{
	"bytes":   nil,
	"objects": {mem.KvUseInterface: "true"},
}

func put(t testing.TB, kv kvdb.Kvdb, key string, value interface{}) *kvdb.KVPair {
	t.Helper()
	pair, err := kv.Put(key, value, 0)
	require.NoError(t, err)
	return pair
}

func get(t testing.TB, kv kvdb.Kvdb, key string) *kvdb.KVPair {
	t.Helper()
	pair, err := kv.Get(key)
	require.NoError(t, err)
	return pair
}
