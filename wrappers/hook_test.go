package wrappers

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/common"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/mock/ubermock"
)

// observable is a mock that has hooks.
type observable struct {
	*ubermock.MockKvdb
	driver.Hooks
}

func (o *observable) AddHooks(hooks ...kvdb.Hook)    { o.Add(hooks...) }
func (o *observable) RemoveHooks(hooks ...kvdb.Hook) { o.Remove(hooks...) }

// operationHook observes operations.
type operationHook struct{ name string }

func (*operationHook) OnOperationStart(ctx context.Context, _ kvdb.Operation) context.Context {
	return ctx
}

func (*operationHook) OnOperationEnd(context.Context, kvdb.Operation, kvdb.Outcome, error, time.Duration) {
}

// Every operation passes its arguments and results unchanged.
func TestHookWrapperForwards(t *testing.T) {
	for name, method := range operations() {
		for _, fails := range []error{nil, errMocked} {
			store := &observable{MockKvdb: ubermock.NewMockKvdb(gomock.NewController(t))}
			kv, err := NewHookWrapper("Wrapper_Test", store, &operationHook{})
			require.NoError(t, err)
			args := arguments(name, method)
			want := expect(store.MockKvdb, name, method, args, fails)
			require.Equal(t, want, call(kv, name, args), name)
		}
	}
}

// The wrapper has every method of the instance, so that it hides no optional interface.
func TestHookWrapperHidesNothing(t *testing.T) {
	wrapper, shared := reflect.TypeFor[*hookWrapper](), reflect.TypeFor[*common.BaseKvdb]()
	throughChain := []string{"Close", "AddHooks", "RemoveHooks", "Limits"} // the functions of package kvdb find these
	for m := range reflect.TypeOf(openMem(t, nil)).Methods() {
		_, has := wrapper.MethodByName(m.Name)
		_, internal := shared.MethodByName(m.Name)
		if !has && !internal {
			require.Contains(t, throughChain, m.Name)
		}
	}
}

// The optional interfaces reach the instance.
func TestHookWrapperOptionalInterfaces(t *testing.T) {
	kv, err := NewHookWrapper("Wrapper_Test", openMem(t, nil), &operationHook{})
	require.NoError(t, err)
	_, err = kv.Put("_hidden", "value", 50)
	require.NoError(t, err)
	for pair, err := range kvdb.PairsWith(kv, "", kvdb.PageOptions{Hidden: true}) {
		require.NoError(t, err)
		require.Equal(t, "_hidden", pair.Key)
	}
	for pair := range kv.(kvdb.Pager).EnumeratePages("", 1) {
		t.Errorf("%q is hidden", pair.Key)
	}
	_, has, err := kvdb.TTLOf(kv, "_hidden")
	require.NoError(t, err)
	require.True(t, has)
	ctx, cancel := context.WithCancel(t.Context())
	batches, err := kvdb.EventBatches(ctx, kv, "_hid", 0)
	require.NoError(t, err)
	for events, err := range batches {
		require.NoError(t, err)
		require.Len(t, events, 1)
		break
	}
	cancel()
	_, err = kvdb.WithContext(ctx, kv).Get("_hidden")
	require.ErrorIs(t, err, context.Canceled)
}

// The hooks are those of the instance until the wrapper is removed. A view does not remove
// them.
func TestHookWrapperRemoved(t *testing.T) {
	one, other := &operationHook{"one"}, &operationHook{"other"}
	store := &observable{MockKvdb: ubermock.NewMockKvdb(gomock.NewController(t))}
	kv, err := NewHookWrapper("Wrapper_Test", store, one, other)
	require.NoError(t, err)
	require.Equal(t, kvdb.WrapperName("Wrapper_Test"), kv.WrapperName())
	require.Equal(t, []kvdb.HookOperation{one, other}, store.Kinds().Operation)
	kvdb.WithContext(t.Context(), kv).Removed()
	require.Len(t, store.Kinds().Operation, 2)
	kv.Removed()
	require.Empty(t, store.Kinds().Operation)

	_, err = NewHookWrapper("Wrapper_Test", ubermock.NewMockKvdb(gomock.NewController(t)), 1)
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	_, err = NewHookWrapper("Wrapper_Test", nil, one)
	require.ErrorIs(t, err, kvdb.ErrNotSupported)
}
