package series

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// A table makes one value for each key, also if several goroutines need it at once, and a
// lookup allocates nothing.
func TestTable(t *testing.T) {
	var made atomic.Int64
	type key struct{ a, b string }
	table := NewTable(func(k key) *string {
		made.Add(1)
		value := k.a + k.b
		return &value
	})
	keys := []key{{"a", "b"}, {"c", "d"}, {"a", "d"}}
	var wg sync.WaitGroup
	for range 8 {
		for _, k := range keys {
			wg.Go(func() { require.Equal(t, k.a+k.b, *table.Of(k)) })
		}
	}
	wg.Wait()
	require.EqualValues(t, len(keys), made.Load())
	require.Same(t, table.Of(keys[0]), table.Of(keys[0]))
	require.Zero(t, testing.AllocsPerRun(10, func() { table.Of(keys[1]) }))
}

// The changes sum up to the events that wait.
func TestQueue(t *testing.T) {
	var q Queue
	first, second := kvdb.Watch{Key: "same", ID: 1}, kvdb.Watch{Key: "same", ID: 2}
	require.Equal(t, 0, q.Delivered(first))
	require.Equal(t, 0, q.Set(first, 0))
	require.Equal(t, 3, q.Set(first, 3))
	require.Equal(t, 2, q.Set(second, 2))
	require.Equal(t, -1, q.Delivered(first))
	require.Equal(t, 4, q.Set(first, 6))
	require.Equal(t, -1, q.Delivered(second))
	require.Equal(t, -1, q.Delivered(second))
	require.Equal(t, 0, q.Delivered(second))
	require.Equal(t, -6, q.Set(first, 0))
	require.Empty(t, q.waiting)
}

// Reasons are of a fixed set, and never texts.
func TestReasons(t *testing.T) {
	text := errors.New("some text")
	for err, want := range map[error]string{
		kvdb.ErrNoConnection: "no_connection", kvdb.ErrNoQuorum: "no_connection", kvdb.ErrLogin: "denied", text: "error", nil: "unknown",
	} {
		require.Equal(t, want, Interruption(err))
		require.Contains(t, Interruptions, want)
		if err != nil {
			require.Equal(t, want, Interruption(fmt.Errorf("wrapped: %w", err)))
		}
	}
	for _, reason := range Losses {
		require.Equal(t, reason, Loss(reason))
	}
	require.Equal(t, kvdb.LockLostUnknown, Loss("some text"))
}
