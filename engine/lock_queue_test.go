package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Waiters enter in the order in which they came.
func TestLockQueueIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := lockQueue{waiting: map[string][]chan struct{}{}}
		entered, err := queue.enter(t.Context(), "key", time.Hour)
		require.NoError(t, err)
		require.True(t, entered)
		var order []int
		for i := range 5 {
			go func() {
				if ok, err := queue.enter(t.Context(), "key", time.Hour); ok && err == nil {
					order = append(order, i)
					queue.leave("key")
				}
			}()
			synctest.Wait()
		}
		entered, err = queue.enter(t.Context(), "other", time.Hour)
		require.NoError(t, err)
		require.True(t, entered, "another key has its own queue")
		queue.leave("other")
		require.Empty(t, order)
		queue.leave("key")
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4}, order)
		require.Empty(t, queue.waiting)
	})
}

// A waiter that gives up is passed over, even if its turn comes at that moment.
func TestLockQueueSkipsWaitersThatGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := lockQueue{waiting: map[string][]chan struct{}{}}
		_, err := queue.enter(t.Context(), "key", time.Hour)
		require.NoError(t, err)
		cancelled, cancel := context.WithCancel(t.Context())
		results := make(chan error, 3)
		go func() {
			ok, err := queue.enter(t.Context(), "key", time.Second)
			require.False(t, ok)
			results <- err
		}()
		go func() {
			ok, err := queue.enter(cancelled, "key", time.Hour)
			require.False(t, ok)
			results <- err
		}()
		synctest.Wait()
		go func() {
			ok, err := queue.enter(t.Context(), "key", time.Hour)
			require.True(t, ok)
			results <- err
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		require.NoError(t, <-results, "the wait is over")
		cancel()
		require.ErrorIs(t, <-results, context.Canceled)
		queue.leave("key")
		require.NoError(t, <-results)
		queue.leave("key")
		require.Empty(t, queue.waiting)

		// A turn that comes at the same time as the end of the wait is taken or passed on,
		// not lost.
		for i := range 100 {
			_, err := queue.enter(t.Context(), "key", time.Hour)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan struct{})
			go func() {
				defer close(over)
				if ok, _ := queue.enter(ctx, "key", time.Hour); ok {
					queue.leave("key")
				}
			}()
			synctest.Wait()
			if i%2 == 0 {
				go cancel() // the turn comes first
			} else {
				cancel() // the end comes first
			}
			queue.leave("key")
			<-over
			require.Empty(t, queue.waiting)
		}
	})
}
