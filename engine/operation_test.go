package engine

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/common"
	"github.com/portworx/kvdb/driver"
)

// operationHook records operations, each with the values that hooks before it and itself have
// put into the context.
type operationHook struct {
	name  string
	calls []string
}

type hookKey struct{}

func (h *operationHook) OnOperationStart(ctx context.Context, op kvdb.Operation) context.Context {
	h.calls = append(h.calls, fmt.Sprintf("start %s %q", op.Name, op.Key))
	before, _ := ctx.Value(hookKey{}).(string)
	return context.WithValue(ctx, hookKey{}, before+h.name)
}

func (h *operationHook) OnOperationEnd(ctx context.Context, op kvdb.Operation, outcome kvdb.Outcome, _ error, _ time.Duration) {
	h.calls = append(h.calls, fmt.Sprintf("end %s %q %s %v", op.Name, op.Key, outcome, ctx.Value(hookKey{})))
}

// take returns the calls since the last take.
func (h *operationHook) take() []string {
	calls := h.calls
	h.calls = nil
	return calls
}

// notOperations are methods that send no request. Others call a method that is an operation.
var notOperations = []string{
	"AddHooks", "BindContext", "Capabilities", "Close", "Deserialize", "GetEndpoints", "Limits", "GetLockHoldDuration", "GetLockTryDuration",
	"Removed", "RemoveHooks", "SetFatalCb", "SetLockHoldDuration", "SetWrappedKvdb", "String", "TxNew", "WrappedKvdb", "WrapperName",
	"EnumeratePages", "EnumeratePagesWith", // their iterators are operations
}

// Each method that can send a request is one operation, also if the instance is closed.
func TestEveryMethodIsOneOperation(t *testing.T) {
	kv, hook := open(t, &fake{}, nil), &operationHook{}
	tx, err := kv.TxNew()
	require.NoError(t, err)
	kv.AddHooks(hook)
	require.NoError(t, kv.Close())
	names := map[string]bool{}
	shared := reflect.TypeFor[*common.BaseKvdb]()
	for name, method := range reflect.ValueOf(kv).Methods() {
		if _, helper := shared.MethodByName(name.Name); helper && !isOf[kvdb.Kvdb](name.Name) {
			continue
		}
		args := []reflect.Value{}
		for in := range method.Type().Ins() {
			args = append(args, reflect.Zero(in))
		}
		if method.Type().IsVariadic() {
			args = args[:len(args)-1]
		}
		method.Call(args)
		calls := hook.take()
		if len(calls) == 0 {
			require.Contains(t, notOperations, name.Name)
			continue
		}
		require.NotContains(t, notOperations, name.Name)
		require.Len(t, calls, 2, "%s: %v", name.Name, calls)
		var start, end string
		_, err := fmt.Sscanf(calls[0]+" "+calls[1], "start %s \"\" end %s", &start, &end)
		require.NoError(t, err, "%s: %v", name.Name, calls)
		require.Equal(t, start, end)
		names[start] = true
	}
	require.Len(t, names, 31, "%v", names)
	for _, err := range kv.EnumeratePages("", 0) {
		require.Equal(t, kvdb.ErrClosed, err)
	}
	require.Equal(t, []string{`start enumerate ""`, `end enumerate "" canceled `}, hook.take())
	require.NoError(t, tx.Commit(), "it is empty")
	require.Equal(t, []string{`start commit ""`, `end commit "" ok `}, hook.take())
}

func isOf[I any](method string) bool {
	_, has := reflect.TypeFor[I]().MethodByName(method)
	return has
}

// Hooks see an operation like layers: the first that starts it is the last that ends it. The
// store gets the context of the last hook, which ends with the view's.
func TestOperationContext(t *testing.T) {
	f := &fake{profile: driver.Profile{OpTimeout: time.Minute}}
	var ctx context.Context
	f.get = func(c context.Context, _ string) (*kvdb.KVPair, error) {
		ctx = c
		require.NoError(t, ctx.Err())
		return nil, kvdb.ErrNotFound
	}
	kv, first, second := open(t, f, nil), &operationHook{name: "1"}, &operationHook{name: "2"}
	kv.AddHooks(first, second)
	caller, cancel := context.WithCancel(context.WithValue(t.Context(), hookKey{}, "view"))
	for name, view := range map[string]kvdb.Kvdb{"12": kv, "view12": kv.BindContext(caller)} {
		_, err := view.Get("key")
		require.Equal(t, kvdb.ErrNotFound, err)
		require.Equal(t, name, ctx.Value(hookKey{}))
		require.Equal(t, []string{`start get "key"`, `end get "key" not_found ` + name}, first.take())
		require.Equal(t, []string{`start get "key"`, `end get "key" not_found ` + name}, second.take())
	}
	cancel()
	_, err := kv.BindContext(caller).Get("key")
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{`start get "key"`, `end get "key" canceled view12`}, first.take())
	require.NoError(t, kv.Close())
}

// A lock that another owner holds is an answer, and not an existing key.
func TestOutcomeLocked(t *testing.T) {
	f := &fake{lock: func(context.Context, string, string, time.Duration) (driver.Lease, error) {
		return nil, &driver.HeldError{Owner: "other"}
	}}
	kv, hook := open(t, f, nil), &operationHook{}
	kv.AddHooks(hook)
	_, err := kv.LockWithTimeout("key", "me", 0, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.Equal(t, []string{`start lock "key"`, `end lock "key" locked `}, hook.take())
	require.NoError(t, kv.Close())
}
