package kvdb_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// committing is a store whose transactions are committed by a function of the test, which
// gets their keys and Commit itself.
type committing struct {
	kvdb.Kvdb
	limits kvdb.Limits
	commit func(keys []string, commit func() error) error
}

func (s *committing) Limits() kvdb.Limits { return s.limits }

func (s *committing) BindContext(ctx context.Context) kvdb.Kvdb {
	return &committing{kvdb.WithContext(ctx, s.Kvdb), s.limits, s.commit}
}

func (s *committing) TxNew() (kvdb.Tx, error) {
	tx, err := s.Kvdb.TxNew()
	return &committingTx{Tx: tx, store: s}, err
}

type committingTx struct {
	kvdb.Tx
	store *committing
	keys  []string
}

func (t *committingTx) Put(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error) {
	pair, err := t.Tx.Put(key, value, ttl)
	if err == nil {
		t.keys = append(t.keys, key)
	}
	return pair, err
}

func (t *committingTx) Guard(lock *kvdb.KVPair) error { return kvdb.TxGuard(t.Tx, lock) }

func (t *committingTx) Commit() error { return t.store.commit(t.keys, t.Tx.Commit) }

// newCommitting returns a store in memory that takes ops keys in a transaction.
func newCommitting(t *testing.T, ops int, commit func(keys []string, commit func() error) error) *committing {
	kv := newMem(t, nil)
	limits := kvdb.LimitsOf(kv)
	limits.MaxTxOps = ops
	return &committing{kv, limits, commit}
}

// sequence yields n pairs with the keys "0", "1" and so on.
func sequence(n int) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		for i := range n {
			key := strconv.Itoa(i)
			if !yield(&kvdb.KVPair{Key: key, Value: []byte("value of " + key)}, nil) {
				return
			}
		}
	}
}

// withPair is sequence(n), but with pair and err as its element at.
func withPair(n, at int, pair *kvdb.KVPair, err error) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		i := 0
		for other := range sequence(n) {
			element, elementErr := other, error(nil)
			if i == at {
				element, elementErr = pair, err
			}
			if i++; !yield(element, elementErr) {
				return
			}
		}
	}
}

// holdsAll asserts that kv has the first n keys of a sequence, and no others.
func holdsAll(t *testing.T, kv kvdb.Kvdb, n int) {
	t.Helper()
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Len(t, pairs, n)
	for _, pair := range pairs {
		i, err := strconv.Atoi(pair.Key)
		require.NoError(t, err)
		require.Less(t, i, n)
		require.Equal(t, "value of "+pair.Key, string(pair.Value))
	}
}

// After a sequence that writes and deletes few keys many times the store is as after the same
// calls one by one, and each write of a key comes after those before it.
func TestPutManyKeepsOrder(t *testing.T) {
	const keys, pairs = 50, 5000
	r := rand.New(rand.NewPCG(1, 2))
	var all kvdb.KVPairs
	want := map[string]string{}
	size := 0
	for i := range pairs {
		pair := &kvdb.KVPair{Key: fmt.Sprint("key", r.IntN(keys)), Value: []byte(strconv.Itoa(i))}
		size += len(pair.Key)
		switch r.IntN(10) {
		case 0:
			pair.Action = kvdb.KVDelete
			delete(want, pair.Key)
		case 1:
			pair.Action = kvdb.KVExpire
			delete(want, pair.Key)
		default:
			want[pair.Key] = string(pair.Value)
			size += len(pair.Value)
		}
		all = append(all, pair)
	}
	kv := newCommitting(t, 7, func(_ []string, commit func() error) error { return commit() })
	var wrong atomic.Value
	latest := map[string]int{}
	seen := make(chan struct{})
	require.NoError(t, kv.WatchTree("key", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err != nil {
			close(seen)
			return err
		}
		i, err := strconv.Atoi(string(pair.Value))
		if pair.Action != kvdb.KVDelete && (err != nil || i < latest[pair.Key]) {
			wrong.Store(fmt.Sprintf("%v after %d: %v", pair, latest[pair.Key], err))
		}
		latest[pair.Key] = max(latest[pair.Key], i)
		return nil
	}))
	var reports []kvdb.Written
	written, err := kvdb.PutMany(t.Context(), kv, func(yield func(*kvdb.KVPair, error) bool) {
		for _, pair := range all {
			if !yield(pair, nil) {
				return
			}
		}
	}, kvdb.ManyOptions{Workers: 8, Report: func(w kvdb.Written) { reports = append(reports, w) }})
	require.NoError(t, err)
	require.Equal(t, kvdb.Written{Pairs: pairs, Bytes: int64(size), Through: pairs}, written)
	require.Equal(t, written, reports[len(reports)-1])
	require.True(t, slices.IsSortedFunc(reports, func(a, b kvdb.Written) int { return a.Pairs - b.Pairs }))
	require.True(t, slices.IsSortedFunc(reports, func(a, b kvdb.Written) int { return a.Through - b.Through }))

	found, err := kv.Enumerate("")
	require.NoError(t, err)
	got := map[string]string{}
	for _, pair := range found {
		got[pair.Key] = string(pair.Value)
	}
	require.Equal(t, want, got)
	require.NoError(t, kvdb.Close(kv.Kvdb))
	<-seen
	require.Nil(t, wrong.Load())
}

// Keys that the store regards as the same are one key for the order.
func TestPutManyKeepsOrderOfFoldedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := map[string]bool{}, 0
		mark := func(keys []string, is bool) error {
			mu.Lock()
			defer mu.Unlock()
			for _, key := range keys {
				if is && running[key[:1]] {
					return fmt.Errorf("%q overtakes", key)
				}
				if running[key[:1]] = is; !is {
					delete(running, key[:1])
				}
			}
			most = max(most, len(running))
			return nil
		}
		kv := newCommitting(t, 2, func(keys []string, commit func() error) error {
			if err := mark(keys, true); err != nil {
				return err
			}
			time.Sleep(time.Second) // in a bubble: others run meanwhile
			return errors.Join(commit(), mark(keys, false))
		})
		kv.limits.CheckKey = func(key string) (string, error) { return key[:1], nil }
		_, err := kvdb.PutMany(t.Context(), kv, func(yield func(*kvdb.KVPair, error) bool) {
			for i := range 1000 {
				if !yield(&kvdb.KVPair{Key: fmt.Sprint(i%7, i)}, nil) {
					return
				}
			}
		}, kvdb.ManyOptions{Workers: 3})
		require.NoError(t, err)
		require.Equal(t, 6, most, "keys that are written at a time")
	})
}

// A transaction that the server refuses as too large is halved, and the next ones are not
// larger.
func TestPutManyHalves(t *testing.T) {
	var refused atomic.Int64
	kv := newCommitting(t, 128, nil)
	for _, limit := range []int{1, 2, 10, 100} {
		refused.Store(0)
		kv.commit = func(keys []string, commit func() error) error {
			if len(keys) > limit {
				refused.Add(1)
				return fmt.Errorf("%w: the limit is %d", kvdb.ErrTooLarge, limit)
			}
			return commit()
		}
		require.NoError(t, kv.DeleteTree(""))
		written, err := kvdb.PutMany(t.Context(), kv, sequence(1000), kvdb.ManyOptions{Workers: 1})
		require.NoError(t, err)
		require.Equal(t, 1000, written.Through)
		holdsAll(t, kv, 1000)
		require.LessOrEqual(t, refused.Load(), int64(16), "limit %d", limit)
	}
}

// bareTx is a transaction without the optional interfaces.
type bareTx struct{ kvdb.Tx }

// noTx is a store without transactions, or whose transactions are refused or have no
// optional interfaces.
type noTx struct {
	kvdb.Kvdb
	tx func() (kvdb.Tx, error)
}

func (s noTx) TxNew() (kvdb.Tx, error) { return s.tx() }

// On a store that lacks transactions, or a part of them, pairs are written one by one.
func TestPutManyWithoutTransactions(t *testing.T) {
	store := newMem(t, nil)
	refusing := &committing{Kvdb: store, commit: func([]string, func() error) error { return kvdb.ErrNotSupported }}
	one := &committing{Kvdb: store, limits: kvdb.Limits{MaxTxOps: 1}}
	for name, kv := range map[string]kvdb.Kvdb{
		"without limits":     bare{store},
		"none":               noTx{store, func() (kvdb.Tx, error) { return nil, kvdb.ErrNotSupported }},
		"of one key":         one,
		"of one key, untold": refusing,
		"without deletions":  noTx{store, func() (kvdb.Tx, error) { tx, err := store.TxNew(); return bareTx{tx}, err }},
	} {
		require.NoError(t, store.DeleteTree(""))
		put(t, store, "old")
		last := &kvdb.KVPair{Key: "old", Action: kvdb.KVDelete}
		lock, err := store.Lock("lock")
		require.NoError(t, err)
		for _, guard := range []*kvdb.KVPair{nil, lock} {
			written, err := kvdb.PutMany(t.Context(), kv, withPair(301, 300, last, nil), kvdb.ManyOptions{Guard: guard})
			require.NoError(t, err, name)
			require.Equal(t, 301, written.Through, name)
			holdsAll(t, store, 300)
		}
		require.NoError(t, store.Unlock(lock))
	}
}

// The error of a pair or of the sequence comes after the pairs before it were written.
func TestPutManyBadPair(t *testing.T) {
	errSequence := errors.New("the sequence ends")
	for _, workers := range []int{0, 1, 3} {
		for _, at := range []int{0, 1, 20, 21, 99} {
			for _, c := range []struct {
				pair *kvdb.KVPair
				err  error
				want error
				text string
			}{
				{nil, errSequence, errSequence, errSequence.Error()},
				{nil, nil, kvdb.ErrIllegal, "nil"},
				{&kvdb.KVPair{}, nil, kvdb.ErrIllegal, `key ""`},
				{&kvdb.KVPair{Key: "x", TTL: -1}, nil, kvdb.ErrTTLNotSupported, `key "x"`},
			} {
				kv := newCommitting(t, 10, func(_ []string, commit func() error) error { return commit() })
				written, err := kvdb.PutMany(t.Context(), kv, withPair(at+1, at, c.pair, c.err), kvdb.ManyOptions{Workers: workers})
				require.ErrorIs(t, err, c.want)
				require.ErrorContains(t, err, c.text)
				require.Equal(t, at, written.Through)
				require.Equal(t, at, written.Pairs)
				holdsAll(t, kv, at)
			}
		}
	}
}

// What failed or has an unknown outcome is not written again, and does not count. Through ends
// before it, Pairs has those written behind it.
func TestPutManyUnknownOutcome(t *testing.T) {
	second := make(chan struct{})
	commits := atomic.Int64{}
	kv := newCommitting(t, 10, func(keys []string, commit func() error) error {
		commits.Add(1)
		switch keys[0] {
		case "10":
			<-second
			return errors.Join(commit(), kvdb.ErrUnknownOutcome)
		case "20":
			defer close(second)
		}
		return commit()
	})
	var last kvdb.Written
	written, err := kvdb.PutMany(t.Context(), kv, sequence(30), kvdb.ManyOptions{
		Workers: 3, Report: func(w kvdb.Written) { last = w },
	})
	require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
	require.Equal(t, 20, written.Pairs)
	require.Equal(t, 10, written.Through)
	require.Equal(t, written, last)
	require.EqualValues(t, 3, commits.Load())
	holdsAll(t, kv, 30)
}

// PutMany takes no more of the sequence than the transactions that run and the next one. After
// an error it takes nothing more, and waits for those that run.
func TestPutManyReadsLittleAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, failed := make(chan struct{}), make(chan struct{})
		kv := newCommitting(t, 10, func(keys []string, commit func() error) error {
			if <-failed; keys[0] == "0" {
				return kvdb.ErrNoConnection
			}
			<-release
			return commit()
		})
		taken, over := 0, false
		var written kvdb.Written
		var err error
		go func() {
			written, err = kvdb.PutMany(t.Context(), kv, func(yield func(*kvdb.KVPair, error) bool) {
				for pair := range sequence(1000) {
					if taken++; !yield(pair, nil) {
						return
					}
				}
			}, kvdb.ManyOptions{Workers: 3})
			over = true
		}()
		synctest.Wait()
		require.Equal(t, 41, taken, "three transactions, the next one, and the pair that makes it full")
		close(failed)
		synctest.Wait()
		require.False(t, over, "transactions are running")
		close(release)
		synctest.Wait()
		require.True(t, over)
		require.ErrorIs(t, err, kvdb.ErrNoConnection)
		require.Equal(t, 41, taken)
		require.Equal(t, 20, written.Pairs)
		require.Zero(t, written.Through)
	})
}

// PutMany ends with its context, also on a store that cannot be bound to one.
func TestPutManyContext(t *testing.T) {
	cause := errors.New("enough")
	for name, kv := range map[string]kvdb.Kvdb{"bound": newMem(t, nil), "not bound": bare{newMem(t, nil)}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		taken := 0
		_, err := kvdb.PutMany(ctx, kv, func(yield func(*kvdb.KVPair, error) bool) {
			for pair := range sequence(100) {
				if taken++; taken == 10 {
					cancel(cause)
				}
				if !yield(pair, nil) {
					return
				}
			}
		}, kvdb.ManyOptions{})
		require.ErrorIs(t, err, context.Canceled, name)
		require.ErrorIs(t, err, cause, name)
		require.Equal(t, 10, taken, name)
		holdsAll(t, kv, 0)
		written, err := kvdb.PutMany(ctx, kv, sequence(1), kvdb.ManyOptions{})
		require.ErrorIs(t, err, context.Canceled, name)
		require.Zero(t, written, name)
	}
}

func TestPutManyGuard(t *testing.T) {
	kv := newMem(t, nil)
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	o := kvdb.ManyOptions{Guard: lock}
	_, err = kvdb.PutMany(t.Context(), kv, sequence(100), o)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
	written, err := kvdb.PutMany(t.Context(), kv, withPair(1, 0, &kvdb.KVPair{Key: "late"}, nil), o)
	require.ErrorIs(t, err, kvdb.ErrInvalidLock)
	require.Zero(t, written)
	holdsAll(t, kv, 100)
	for _, wrong := range []*kvdb.KVPair{{}, {Key: "a", Lock: 1}} {
		_, err = kvdb.PutMany(t.Context(), kv, sequence(1), kvdb.ManyOptions{Guard: wrong})
		require.Equal(t, kvdb.ErrInvalidLock, err)
	}
}

// lostLock is a lock that is lost.
type lostLock struct{ kvdb.HeldLock }

func (lostLock) Lost() <-chan struct{} {
	lost := make(chan struct{})
	close(lost)
	return lost
}

// Where transactions cannot have a guard, a lost lock ends PutMany too.
func TestPutManyLostLock(t *testing.T) {
	kv := noTx{newMem(t, nil), func() (kvdb.Tx, error) { return nil, kvdb.ErrNotSupported }}
	written, err := kvdb.PutMany(t.Context(), kv, sequence(10), kvdb.ManyOptions{Guard: &kvdb.KVPair{Lock: lostLock{}}})
	require.ErrorIs(t, err, kvdb.ErrInvalidLock)
	require.Zero(t, written)
	holdsAll(t, kv, 0)
}

// A pair keeps its TTL.
func TestPutManyTTL(t *testing.T) {
	kv, err := mem.New("domain", nil, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	_, err = kvdb.PutMany(t.Context(), kv, withPair(10, 5, &kvdb.KVPair{Key: "short", TTL: 1000}, nil), kvdb.ManyOptions{})
	require.NoError(t, err)
	_, has, err := kvdb.TTLOf(kv, "short")
	require.NoError(t, err)
	require.True(t, has)
	_, has, err = kvdb.TTLOf(kv, "0")
	require.NoError(t, err)
	require.False(t, has)
}
