package mem_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// idleHook observes operations and does nothing.
type idleHook struct{}

func (idleHook) OnOperationStart(ctx context.Context, _ kvdb.Operation) context.Context { return ctx }

func (idleHook) OnOperationEnd(context.Context, kvdb.Operation, kvdb.Outcome, error, time.Duration) {
}

// An operation that hooks observe allocates nothing more than one without hooks.
func TestHooksAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	kv, err := mem.New("domain", nil, nil, nil)
	require.NoError(t, err)
	defer kvdb.Close(kv)
	calls := map[string]func(){
		"Put":       func() { _, _ = kv.Put("key", "value", 0) },
		"Get":       func() { _, _ = kv.Get("key") },
		"Enumerate": func() { _, _ = kv.Enumerate("") },
		"Delete":    func() { _, _ = kv.Delete("missing") },
	}
	for name, call := range calls {
		require.NoError(t, kvdb.AddHooks(kv, idleHook{}))
		with := testing.AllocsPerRun(1000, call)
		kvdb.RemoveHooks(kv, idleHook{})
		require.Equal(t, testing.AllocsPerRun(1000, call), with, name)
	}
}

// BenchmarkHooks shows what a hook that does nothing costs.
func BenchmarkHooks(b *testing.B) {
	for _, hooks := range [][]kvdb.Hook{nil, {idleHook{}}} {
		b.Run(map[bool]string{true: "none", false: "idle"}[hooks == nil], func(b *testing.B) {
			kv, err := mem.New("domain", nil, nil, nil)
			require.NoError(b, err)
			defer kvdb.Close(kv)
			require.NoError(b, kvdb.AddHooks(kv, hooks...))
			_, err = kv.Put("key", "value", 0)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = kv.Get("key")
			}
		})
	}
}
