package kvdbslog

import (
	"fmt"
	"log/slog"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/wrappers"
)

// Wrapper is the name of the wrapper that adds a hook with [slog.Default] to an instance.
const Wrapper = kvdb.WrapperName("Wrapper_Slog")

func init() {
	wrap := func(kv kvdb.Kvdb, _ map[string]string) (kvdb.Kvdb, error) {
		return wrappers.NewHookWrapper(Wrapper, kv, New(slog.Default()))
	}
	if err := kvdb.RegisterWrapper(Wrapper, wrap); err != nil {
		panic(fmt.Sprintf("kvdb wrapper %s: %v", Wrapper, err))
	}
	kvdb.RegisterOptions(string(Wrapper))
}
