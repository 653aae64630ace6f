package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Waiters get the turn in the order in which they came.
func TestTurnsAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turns{waiting: map[string][]chan struct{}{}}
		entered, err := turns.enter(t.Context(), "key", time.Hour)
		require.NoError(t, err)
		require.True(t, entered)
		var order []int
		for i := range 5 {
			go func() {
				if ok, err := turns.enter(t.Context(), "key", time.Hour); ok && err == nil {
					order = append(order, i)
					turns.leave("key")
				}
			}()
			synctest.Wait()
		}
		entered, err = turns.enter(t.Context(), "other", time.Hour)
		require.NoError(t, err)
		require.True(t, entered, "another key")
		turns.leave("other")
		require.Empty(t, order)
		turns.leave("key")
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4}, order)
		require.Empty(t, turns.waiting)
	})
}

// A waiter who gives up is passed over, also when it becomes his turn at that moment.
func TestTurnsOfThoseWhoGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turns{waiting: map[string][]chan struct{}{}}
		_, err := turns.enter(t.Context(), "key", time.Hour)
		require.NoError(t, err)
		cancelled, cancel := context.WithCancel(t.Context())
		results := make(chan error, 3)
		go func() {
			ok, err := turns.enter(t.Context(), "key", time.Second)
			require.False(t, ok)
			results <- err
		}()
		go func() {
			ok, err := turns.enter(cancelled, "key", time.Hour)
			require.False(t, ok)
			results <- err
		}()
		synctest.Wait()
		go func() {
			ok, err := turns.enter(t.Context(), "key", time.Hour)
			require.True(t, ok)
			results <- err
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		require.NoError(t, <-results, "the wait is over")
		cancel()
		require.ErrorIs(t, <-results, context.Canceled)
		turns.leave("key")
		require.NoError(t, <-results)
		turns.leave("key")
		require.Empty(t, turns.waiting)

		// A turn that comes together with the end of the wait is passed on or
		// taken, and never lost.
		for i := range 100 {
			_, err := turns.enter(t.Context(), "key", time.Hour)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan struct{})
			go func() {
				defer close(over)
				if ok, _ := turns.enter(ctx, "key", time.Hour); ok {
					turns.leave("key")
				}
			}()
			synctest.Wait()
			if i%2 == 0 {
				go cancel() // the turn comes first
			} else {
				cancel() // and here the end
			}
			turns.leave("key")
			<-over
			require.Empty(t, turns.waiting)
		}
	})
}
