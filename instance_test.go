package kvdb

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// named is a Kvdb that is good for nothing but to tell it from others.
type named struct {
	Kvdb
	name string
}

func (n *named) String() string { return n.name }

// resetInstance undoes SetInstance, which a program can call once only.
func resetInstance() {
	registryMu.Lock()
	defer registryMu.Unlock()
	instance = nil
}

func TestInstance(t *testing.T) {
	t.Cleanup(resetInstance)
	require.Nil(t, Instance())
	first := &named{name: "first"}
	require.NoError(t, SetInstance(first))
	require.Same(t, first, Instance())

	err := SetInstance(&named{name: "second"})
	require.ErrorIs(t, err, ErrExist)
	require.ErrorContains(t, err, `"first"`)
	require.Same(t, first, Instance())
}

// Of several that set the instance at once one wins, and everybody sees it.
func TestInstanceConcurrently(t *testing.T) {
	t.Cleanup(resetInstance)
	var wg sync.WaitGroup
	won := make(chan Kvdb, 8)
	for range cap(won) {
		wg.Go(func() {
			kv := &named{name: "kv"}
			if SetInstance(kv) == nil {
				won <- kv
			}
			if Instance() == nil {
				t.Error("no instance after SetInstance")
			}
		})
	}
	wg.Wait()
	require.Len(t, won, 1)
	require.Same(t, <-won, Instance())
}
