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

// SetInstance sets again and again: daemons set a wrapped instance after the
// bare one. Nil clears.
func TestInstance(t *testing.T) {
	t.Cleanup(func() { require.NoError(t, SetInstance(nil)) })
	require.Nil(t, Instance())
	for _, name := range []string{"first", "second", "second"} {
		kv := &named{name: name}
		require.NoError(t, SetInstance(kv))
		require.Same(t, kv, Instance())
	}
	require.NoError(t, SetInstance(nil))
	require.Nil(t, Instance())
	again := &named{name: "again"}
	require.NoError(t, SetInstance(again))
	require.Same(t, again, Instance())
}

// Of several that set the instance at once one is last, and nobody sees a state
// in between.
func TestInstanceConcurrently(t *testing.T) {
	t.Cleanup(func() { require.NoError(t, SetInstance(nil)) })
	var wg sync.WaitGroup
	var all [8]Kvdb
	for i := range all {
		all[i] = &named{name: "kv"}
		wg.Go(func() {
			if err := SetInstance(all[i]); err != nil {
				t.Error(err)
			}
			if Instance() == nil {
				t.Error("no instance after SetInstance")
			}
		})
	}
	wg.Wait()
	require.Contains(t, all, Instance())
}
