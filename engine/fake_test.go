package engine

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// fake is a store whose methods call functions that a test sets. A method whose function is
// not set must not be called.
type fake struct {
	driver.Store
	profile driver.Profile
	get     func(ctx context.Context, key string) (*kvdb.KVPair, error)
	put     func(ctx context.Context, w driver.Write) (driver.Indexes, error)
	lock    func(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error)
	watch   func(ctx context.Context, r driver.WatchRequest) (driver.Stream, error)
	closed  int
}

func (f *fake) Profile() driver.Profile { return f.profile }

func (f *fake) Get(ctx context.Context, key string) (*kvdb.KVPair, error) { return f.get(ctx, key) }

func (f *fake) Put(ctx context.Context, w driver.Write) (driver.Indexes, error) { return f.put(ctx, w) }

func (f *fake) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	return f.lock(ctx, key, owner, wait)
}

func (f *fake) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	return f.watch(ctx, r)
}

func (f *fake) Close(context.Context) error {
	f.closed++
	return nil
}

func open(t *testing.T, store driver.Store, cb kvdb.FatalErrorCB) *view {
	t.Helper()
	kv, err := New(Config{Name: "fake", Domain: "domain", Store: store, FatalCb: cb})
	require.NoError(t, err)
	return kv.(*view)
}

// fakeLease is a lease that a test can mark as lost.
type fakeLease struct {
	lost     chan struct{}
	release  func() error
	released int
}

func newFakeLease() *fakeLease {
	return &fakeLease{lost: make(chan struct{}), release: func() error { return nil }}
}

func (l *fakeLease) Token() uint64         { return 17 }
func (l *fakeLease) Lost() <-chan struct{} { return l.lost }
func (l *fakeLease) Release(context.Context) error {
	l.released++
	return l.release()
}

// fakeStream is a stream whose events a test sends.
type fakeStream struct {
	ctx    context.Context
	events chan []*kvdb.KVPair
	closed int
}

func (s *fakeStream) Next() ([]*kvdb.KVPair, error) {
	select {
	case events, ok := <-s.events:
		if !ok {
			return nil, kvdb.ErrNoConnection
		}
		return events, nil
	case <-s.ctx.Done():
		return nil, context.Cause(s.ctx)
	}
}

func (s *fakeStream) Close() { s.closed++ }
