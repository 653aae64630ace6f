package servers_test

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/portworx/kvdb/test/servers"
)

// lacks asserts that a member does not know the name.
func (b *bench) lacks(m *servers.Member, name string) {
	b.t.Helper()
	has, err := within(b, patience, func(ctx context.Context) (bool, error) {
		return b.store.has(ctx, m.Endpoint(), name)
	})
	b.NoError(err)
	b.False(has, "%s at %s", name, m.Name())
}

func TestRestore(t *testing.T) {
	each(t, servers.Options{Members: 3}, func(b *bench) {
		b.Error(b.c.Restore(nil), "there is no backup")
		for _, online := range []bool{false, true} {
			m := b.leader()
			b.put(m, "kept")
			err := b.c.Backup(online)
			if errors.Is(err, errors.ErrUnsupported) {
				b.True(online)
				continue
			}
			b.NoError(err)
			b.put(m, "lost")
			b.NoError(b.c.Restore(nil))
			for _, m := range b.c.All() {
				b.has(m, "kept")
				b.lacks(m, "lost")
			}
			b.put(m, "lost")
			b.NoError(b.c.Restore(func(endpoints []string) error {
				b.Len(endpoints, 3)
				b.ErrorIs(b.tryPut(patience, m.Endpoint(), "refused"), syscall.ECONNREFUSED)
				return b.tryPut(patience, endpoints[0], "meanwhile")
			}))
			for _, m := range b.c.All() {
				b.has(m, "kept")
				b.lacks(m, "lost")
				b.has(m, "meanwhile")
			}
		}
	})
}

func TestWipe(t *testing.T) {
	each(t, servers.Options{Members: 3}, func(b *bench) {
		m := b.leader()
		b.put(m, "lost")
		b.NoError(b.c.Wipe(func(endpoints []string) error {
			b.ErrorIs(b.tryPut(patience, m.Endpoint(), "refused"), syscall.ECONNREFUSED)
			return b.tryPut(patience, endpoints[0], "meanwhile")
		}))
		for _, m := range b.c.All() {
			b.lacks(m, "lost")
			b.has(m, "meanwhile")
		}
	})
}
