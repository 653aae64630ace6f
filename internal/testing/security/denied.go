package security

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// Denied asserts that every call of an instance without permission for a pair and its
// directory returns kvdb.ErrPermission, and not an error that a program would retry. lists
// means that the store refuses to list a directory instead of hiding its pairs.
func Denied(t *testing.T, kv kvdb.Kvdb, dir string, pair *kvdb.KVPair, lists bool) {
	t.Helper()
	key := pair.Key
	unwatched := func(string, any, *kvdb.KVPair, error) error { return nil }
	calls := map[string]func() error{
		"Get":           func() error { _, err := kv.Get(key); return err },
		"Put":           func() error { _, err := kv.Put(key, "value", 0); return err },
		"Create":        func() error { _, err := kv.Create(dir+"/new", "value", 0); return err },
		"Update":        func() error { _, err := kv.Update(key, "value", 0); return err },
		"Delete":        func() error { _, err := kv.Delete(key); return err },
		"CompareAndSet": func() error { _, err := kv.CompareAndSet(pair, kvdb.KVModifiedIndex, nil); return err },
		"CompareAndDelete": func() error {
			_, err := kv.CompareAndDelete(pair, kvdb.KVModifiedIndex)
			return err
		},
		"LockWithTimeout": func() error { _, err := kv.LockWithTimeout(key+"-lock", "me", time.Second, 0); return err },
		"WatchKey":        func() error { return kv.WatchKey(key, 0, nil, unwatched) },
	}
	if lists {
		calls["Enumerate"] = func() error { _, err := kv.Enumerate(dir + "/"); return err }
		calls["Keys"] = func() error { _, err := kv.Keys(dir, ""); return err }
		calls["DeleteTree"] = func() error { return kv.DeleteTree(dir) }
		calls["WatchTree"] = func() error { return kv.WatchTree(dir+"/", 0, nil, unwatched) }
		calls["Snapshot"] = func() error { _, _, err := kv.Snapshot([]string{dir + "/"}, true); return err }
	}
	for call, f := range calls {
		began := time.Now()
		err := f()
		require.ErrorIs(t, err, kvdb.ErrPermission, call)
		for _, other := range []error{kvdb.ErrLogin, kvdb.ErrNoConnection, kvdb.ErrUnknownOutcome, kvdb.ErrNotFound, kvdb.ErrExist} {
			require.NotErrorIs(t, err, other, call)
		}
		require.Less(t, time.Since(began), 5*time.Second, call)
	}
}
