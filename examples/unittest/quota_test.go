package unittest

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/mock/ubermock"
)

// newStore returns a store of its own for each test.
func newStore(t *testing.T) kvdb.Kvdb {
	kv, err := kvdb.New(mem.Name, "app", nil, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

func TestReserveNeverExceedsTheLimit(t *testing.T) {
	kv := newStore(t)
	_, err := kv.Put("quota/a", Quota{Limit: 50}, 0)
	require.NoError(t, err)

	errs := make([]error, 8)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() { errs[i] = Reserve(kv, "a", 10) })
	}
	wait.Wait()

	refused := 0
	for _, err := range errs {
		if err != nil {
			require.ErrorIs(t, err, ErrOverQuota)
			refused++
		}
	}
	require.Equal(t, 3, refused)
	quota, _, err := kvdb.GetAs[Quota](kv, "quota/a")
	require.NoError(t, err)
	require.Equal(t, Quota{Limit: 50, Used: 50}, quota)
}

func TestReserveWithoutQuota(t *testing.T) {
	require.ErrorIs(t, Reserve(newStore(t), "nobody", 1), ErrOverQuota)
}

// The mock fails the test at each call that it does not expect.
func TestReserveReportsALostConnection(t *testing.T) {
	kv := ubermock.NewMockKvdb(gomock.NewController(t))
	kv.EXPECT().GetVal("quota/a", gomock.Any()).Return(nil, kvdb.ErrNoConnection)

	require.ErrorIs(t, Reserve(kv, "a", 10), kvdb.ErrNoConnection)
}

// found returns a function for GetVal that finds q.
func found(index uint64, q Quota) func(string, interface{}) (*kvdb.KVPair, error) {
	return func(key string, value interface{}) (*kvdb.KVPair, error) {
		*value.(*Quota) = q
		return &kvdb.KVPair{Key: key, ModifiedIndex: index}, nil
	}
}

func TestReserveRetriesAfterAConflict(t *testing.T) {
	kv := ubermock.NewMockKvdb(gomock.NewController(t))
	read := func(index uint64, q Quota) *gomock.Call {
		return kv.EXPECT().GetVal("quota/a", gomock.Any()).DoAndReturn(found(index, q))
	}
	write := func(index uint64, value string, err error) *gomock.Call {
		return kv.EXPECT().CompareAndSet(
			&kvdb.KVPair{Key: "quota/a", Value: []byte(value), ModifiedIndex: index}, kvdb.KVModifiedIndex, gomock.Nil()).
			Return(nil, err)
	}
	gomock.InOrder(
		read(7, Quota{Limit: 50}),
		write(7, `{"Limit":50,"Used":10}`, kvdb.ErrModified),
		read(8, Quota{Limit: 50, Used: 20}),
		write(8, `{"Limit":50,"Used":30}`, nil),
	)
	require.NoError(t, Reserve(kv, "a", 10))
}

func TestReserveReportsAnUnknownOutcome(t *testing.T) {
	kv := ubermock.NewMockKvdb(gomock.NewController(t))
	unknown := errors.Join(kvdb.ErrUnknownOutcome, errors.New("connection reset"))
	kv.EXPECT().GetVal("quota/a", gomock.Any()).DoAndReturn(found(1, Quota{Limit: 50}))
	kv.EXPECT().CompareAndSet(gomock.Any(), gomock.Any(), gomock.Any()).Return(nil, unknown)

	require.ErrorIs(t, Reserve(kv, "a", 10), kvdb.ErrUnknownOutcome)
}
