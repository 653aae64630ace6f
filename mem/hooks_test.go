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

// perOperation is a hook that ends each operation's context.
type perOperation struct{}

type ending struct{}

func (perOperation) OnOperationStart(ctx context.Context, _ kvdb.Operation) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	return context.WithValue(ctx, ending{}, cancel)
}

func (perOperation) OnOperationEnd(ctx context.Context, _ kvdb.Operation, _ kvdb.Outcome, _ error, _ time.Duration) {
	ctx.Value(ending{}).(context.CancelFunc)()
}

// A watch outlives the context that a hook gave its operation, and ends with the caller's.
func TestWatchOutlivesTheContextOfAHook(t *testing.T) {
	kv := open(t, nil)
	require.NoError(t, kvdb.AddHooks(kv, perOperation{}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := kvdb.Events(ctx, kv, "key", 0)
	require.NoError(t, err)
	put(t, kv, "key", "value")
	seen := 0
	for event, err := range events {
		if seen++; seen == 1 {
			require.NoError(t, err)
			require.Equal(t, "key", event.Key)
			cancel()
			continue
		}
		require.Equal(t, kvdb.ErrWatchStopped, err)
	}
	require.Equal(t, 2, seen)
}

// uncomparable is a context of a type that cannot be compared.
type uncomparable struct {
	context.Context
	_ []int
}

// Observed operations take any context.
func TestUncomparableContext(t *testing.T) {
	kv := open(t, nil)
	require.NoError(t, kvdb.AddHooks(kv, idleHook{}))
	put(t, kvdb.WithContext(uncomparable{Context: t.Context()}, kv), "key", "value")
}
