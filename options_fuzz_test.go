package kvdb_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/wrappers"
)

// badOptions returns the names of the options whose value the backend cannot use, according
// to the documentation.
func badOptions(backend string, options map[string]string) []string {
	var bad []string
	check := func(name string, good func(value string) bool) {
		if value, present := options[name]; present && !good(value) {
			bad = append(bad, name)
		}
	}
	oneOf := func(values ...string) func(string) bool {
		return func(value string) bool { return slices.Contains(values, value) }
	}
	check(mem.KvHistory, func(value string) bool {
		n, err := strconv.Atoi(value)
		return value == "" || err == nil && n >= 1
	})
	check(kvdb.ReadConsistency, oneOf("", kvdb.ReadLinearizable, kvdb.ReadStale))
	if backend == bolt.Name {
		check(bolt.KvSnap, oneOf(options[bolt.Path])) // both options name the file
	}
	logged := false
	check(kvdb.WrappersOption, func(value string) bool {
		var seen []string
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			if slices.Contains(seen, name) || !oneOf(string(kvdb.Wrapper_Log), string(kvdb.Wrapper_NoQuorum))(name) {
				return false
			}
			seen = append(seen, name)
		}
		logged = slices.Contains(seen, string(kvdb.Wrapper_Log))
		return true
	})
	if logged {
		check(wrappers.LogLevelOption, oneOf("", wrappers.LogAll, wrappers.LogFailures, wrappers.LogOff))
	}
	return bad
}

// Whatever the options are, New returns an instance that works, or an error that names one
// of the bad options.
func FuzzOptions(f *testing.F) {
	f.Add(mem.KvHistory, "1", kvdb.ReadConsistency, "stale", kvdb.WrappersOption, "Wrapper_Log", false)
	f.Add(mem.KvHistory, "0", mem.KvUseInterface, "", mem.KvSnap, "", false)
	f.Add(mem.KvHistory, "-1", mem.KvUseInterface, "true", mem.KvSnap, "false", true)
	f.Add(kvdb.WrappersOption, "Wrapper_NoQuorum, Wrapper_Log,", wrappers.LogLevelOption, "none", "other", "value", true)
	f.Add(kvdb.WrappersOption, "Wrapper_Log,Wrapper_Log", wrappers.LogLevelOption, "off", "", "", false)
	f.Add(kvdb.WrappersOption, "Wrapper_None", kvdb.ReadConsistency, "Stale", mem.KvHistory, "99999999999999999999", true)
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, name3, value3 string, onBolt bool) {
		options := map[string]string{name1: value1, name2: value2, name3: value3}
		folder := t.TempDir()
		options[kvdb.LogPathOption] = filepath.Join(folder, "log")
		backend := mem.Name
		if onBolt {
			backend = bolt.Name
			options[bolt.Path] = filepath.Join(folder, "db")
		}
		given := maps.Clone(options)
		kv, err := kvdb.New(backend, "domain", nil, options, nil)
		require.Equal(t, given, options, "New does not change the options")
		if err != nil {
			bad := badOptions(backend, options)
			named := func(name string) bool { return strings.Contains(err.Error(), name) }
			require.True(t, err == mem.ErrSnapWithInterfaceNotSupported || slices.ContainsFunc(bad, named), "%v: %v", err, bad)
			return
		}
		require.Empty(t, badOptions(backend, options))
		_, err = kv.Put("key", "value", 0)
		if err != mem.ErrSnap && err != kvdb.ErrNoQuorum {
			require.NoError(t, err)
			pair, err := kv.Get("key")
			require.NoError(t, err)
			require.Equal(t, "value", string(pair.Value))
		}
		require.NoError(t, kvdb.Close(kv))
	})
}
