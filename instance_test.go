package kvdb

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// named is a Kvdb that has only a name.
type named struct {
	Kvdb
	name string
}

func (n *named) String() string { return n.name }

// SetInstance may be called repeatedly, because daemons first set a bare instance and then
// a wrapped one. Nil clears the instance.
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

// After concurrent calls of SetInstance the instance is that of one of them, and no reader
// sees another one.
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
