package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// silentMembers is a fake whose members do not answer before ctx ends.
type silentMembers struct{ *fake }

func (silentMembers) wait(ctx context.Context) error {
	<-ctx.Done()
	return driver.WithCause(ctx, nil)
}

func (s silentMembers) AddMember(ctx context.Context, _, _, _ string) (map[string][]string, error) {
	return nil, s.wait(ctx)
}

func (s silentMembers) AddLearner(ctx context.Context, _, _, _ string) (map[string][]string, error) {
	return nil, s.wait(ctx)
}

func (s silentMembers) RemoveMember(ctx context.Context, _, _ string) error { return s.wait(ctx) }

func (s silentMembers) RemoveMemberByID(ctx context.Context, _ uint64) error { return s.wait(ctx) }

func (s silentMembers) UpdateMember(ctx context.Context, _, _, _ string) (map[string][]string, error) {
	return nil, s.wait(ctx)
}

// ListMembers reports members that do not answer as down.
func (s silentMembers) ListMembers(ctx context.Context) (map[uint64]*kvdb.MemberInfo, error) {
	_ = s.wait(ctx)
	return map[uint64]*kvdb.MemberInfo{1: {}}, nil
}

func (s silentMembers) SetEndpoints(ctx context.Context, _ []string) error { return s.wait(ctx) }

func (silentMembers) GetEndpoints(context.Context) []string { return []string{"here"} }

func (s silentMembers) Defragment(ctx context.Context, _ string, _ int) error { return s.wait(ctx) }

func controllerCalls(kv kvdb.Kvdb) map[string]func() error {
	return map[string]func() error{
		"AddMember":        func() error { _, err := kv.AddMember("ip", "port", "name"); return err },
		"AddLearner":       func() error { _, err := kv.AddLearner("ip", "port", "name"); return err },
		"RemoveMember":     func() error { return kv.RemoveMember("name", "ip") },
		"RemoveMemberByID": func() error { return kv.RemoveMemberByID(1) },
		"UpdateMember":     func() error { _, err := kv.UpdateMember("ip", "port", "name"); return err },
		"ListMembers":      func() error { _, err := kv.ListMembers(); return err },
		"SetEndpoints":     func() error { return kv.SetEndpoints(nil) },
		"Defragment":       func() error { return kv.Defragment("", 0) },
	}
}

// The calls of the Controller end with the view's context and with the instance. All except
// Defragment, whose caller gives a time limit, also end with the store's time limit.
func TestControllerCallsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10 * time.Second
		kv := open(t, silentMembers{&fake{profile: driver.Profile{OpTimeout: limit}}}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		for name, call := range controllerCalls(kvdb.WithContext(ctx, kv)) {
			require.ErrorIs(t, call(), context.Canceled, name)
		}
		began := time.Now()
		require.NoError(t, controllerCalls(kv)["ListMembers"](), "some are down")
		require.ErrorIs(t, controllerCalls(kv)["AddMember"](), driver.ErrTimeLimit)
		require.Equal(t, 2*limit, time.Since(began))
		time.AfterFunc(time.Minute, func() { require.NoError(t, kv.Close()) })
		require.ErrorIs(t, kv.Defragment("", 0), kvdb.ErrClosed)
		require.Equal(t, 2*limit+time.Minute, time.Since(began))
		for name, call := range controllerCalls(kv) {
			require.Equal(t, kvdb.ErrClosed, call(), name)
		}
		require.Equal(t, []string{"here"}, kv.GetEndpoints())
	})
}

// A store without MemberAdmin, and a store that embeds MembersNotSupported.
func TestMembersNotSupported(t *testing.T) {
	for _, store := range []driver.Store{&fake{}, struct {
		*fake
		driver.MembersNotSupported
	}{fake: &fake{}}} {
		kv := open(t, store, nil)
		for name, call := range controllerCalls(kv) {
			require.Equal(t, kvdb.ErrNotSupported, call(), name)
		}
		require.Equal(t, []string{}, kv.GetEndpoints())
		require.NoError(t, kv.Close())
	}
}
