package wrappers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/mock/ubermock"
)

// openMem returns a store in memory. It is closed at the end of the test.
func openMem(t testing.TB, options map[string]string) kvdb.Kvdb {
	kv, err := kvdb.New(mem.Name, "domain", nil, options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// quiet has the operations that write no line, because they only read or change a setting
// of the instance.
var quiet = map[string]bool{
	"String": true, "Capabilities": true, "GetEndpoints": true, "SetFatalCb": true,
	"SetLockHoldDuration": true, "GetLockTryDuration": true, "GetLockHoldDuration": true,
}

// Every operation passes its arguments and results unchanged, and writes one line, which
// has no value and no password.
func TestLogForwards(t *testing.T) {
	for name, method := range operations() {
		for _, fails := range []error{nil, errMocked} {
			t.Run(fmt.Sprint(name, " ", fails), func(t *testing.T) {
				store := ubermock.NewMockKvdb(gomock.NewController(t))
				kv, lines := logOf(t, store, nil)
				args := arguments(name, method)
				want := expect(store, name, method, args, fails)
				got := call(kv, name, args)
				if name != "TxNew" || fails != nil { // its result is wrapped
					require.Equal(t, want, got)
				}
				if quiet[name] {
					require.Equal(t, []string{""}, lines())
					return
				}
				require.Len(t, lines(), 1)
				line := lines()[0]
				require.Contains(t, line, " op="+name+" ")
				require.Contains(t, line, " duration=")
				require.NotContains(t, line, secret)
				if fails != nil {
					require.Contains(t, line, ` level=warning `)
					require.Contains(t, line, ` outcome="mocked failure" `)
				} else {
					require.Contains(t, line, ` level=info `)
					require.Contains(t, line, ` outcome=ok `)
				}
				if strings.Contains(name, "Tx") || method.NumIn() == 0 {
					return
				}
				if in := method.In(0); in == reflect.TypeFor[string]() || in == reflect.TypeFor[*kvdb.KVPair]() {
					require.Contains(t, line, `="text0"`, "the key or other subject of the operation")
				}
				if method.NumOut() > 0 && method.Out(0) == reflect.TypeFor[*kvdb.KVPair]() {
					require.Contains(t, line, ` created=101 modified=102 index=103 `)
				}
			})
		}
	}
}

func TestLogLine(t *testing.T) {
	kv, lines := logOf(t, openMem(t, nil), nil)
	_, err := kv.Put("a/b", secret, 0)
	require.NoError(t, err)
	_, err = kv.Get("no\nsuch \"key\"")
	require.Equal(t, kvdb.ErrNotFound, err)
	_, err = kv.Enumerate("a/")
	require.NoError(t, err)

	require.Len(t, lines(), 3)
	const stamp, duration = `time=\d{4}-\d\d-\d\dT\S+ `, ` duration=[\d.]+(ns|µs|ms|s)`
	require.Regexp(t, `^`+stamp+`level=info op=Put key="a/b" created=1 modified=1 index=1 outcome=ok`+duration+`$`, lines()[0])
	require.Regexp(t, `^`+stamp+`level=warning op=Get key="no\\nsuch \\"key\\"" outcome="Key not found"`+duration+`$`, lines()[1])
	require.Regexp(t, `^`+stamp+`level=info op=Enumerate key="a/" count=1 outcome=ok`+duration+`$`, lines()[2])
}

// The part of an error that quotes a value is not logged.
func TestLogErrorsThatQuote(t *testing.T) {
	_, unsupported := json.Marshal(math.Inf(1))
	_, marshaler := json.Marshal(secretive{})
	mismatch := json.Unmarshal([]byte(`424242`), new(string))
	overflow := json.Unmarshal([]byte(`424242`), new(int8))
	for _, cause := range []error{unsupported, marshaler, mismatch, overflow} {
		require.Error(t, cause)
		sentinel := kvdb.ErrIllegal
		if errors.As(cause, new(*json.UnmarshalTypeError)) {
			sentinel = kvdb.ErrUnmarshal
		}
		store := ubermock.NewMockKvdb(gomock.NewController(t))
		kv, lines := logOf(t, store, nil)
		fails := fmt.Errorf("%w: value: %w", sentinel, cause)
		store.EXPECT().Put(gomock.Any(), gomock.Any(), gomock.Any()).Return(nil, fails)
		_, err := kv.Put("key", nil, 0)
		require.Same(t, fails, err)
		for _, quoted := range []string{secret, "424242", "Inf"} {
			require.NotContains(t, lines()[0], quoted)
		}
	}

	store := ubermock.NewMockKvdb(gomock.NewController(t))
	kv, lines := logOf(t, store, nil)
	fails := fmt.Errorf("user exists with password %q", secret)
	store.EXPECT().AddUser("user", secret).Return(fails)
	require.Same(t, fails, kv.AddUser("user", secret))
	require.NotContains(t, lines()[0], secret)
	require.Contains(t, lines()[0], "user exists")
}

// secretive cannot be encoded, and the error of its encoding has its value.
type secretive struct{}

func (secretive) MarshalJSON() ([]byte, error) { return nil, errors.New(secret) }

func TestLogWatch(t *testing.T) {
	kv, lines := logOf(t, openMem(t, nil), nil)
	over := make(chan error, 1)
	cb := func(_ string, opaque interface{}, _ *kvdb.KVPair, err error) error {
		if err != nil {
			over <- err
		}
		return errors.New("enough")
	}
	require.NoError(t, kv.WatchTree("a", 3, "opaque", cb))
	require.Equal(t, kvdb.ErrIllegal, errors.Unwrap(kv.WatchKey("a", 0, nil, nil)))
	for range 4 {
		_, err := kv.Put("a/b", secret, 0)
		require.NoError(t, err)
	}
	require.Equal(t, kvdb.ErrWatchStopped, <-over)

	all := lines()
	require.Contains(t, all[0], ` op=WatchTree key="a" waitIndex=3 outcome=ok `)
	require.Contains(t, all[1], ` op=WatchKey key="a" waitIndex=0 outcome="Illegal operation`)
	require.Contains(t, strings.Join(all, "\n"), ` op=WatchTreeEnd key="a" outcome="Watch Stopped" `)
	require.Len(t, all, 2+4+1, "events are not logged")
}

func TestLogWatchBatches(t *testing.T) {
	kv, lines := logOf(t, openMem(t, nil), nil)
	over := make(chan error, 1)
	require.NoError(t, kvdb.WatchBatches(kv, "a", 0, func(events kvdb.KVPairs, err error) error {
		if err != nil {
			over <- err
		}
		return errors.New("enough")
	}))
	require.ErrorIs(t, kvdb.WatchBatches(kv, "a", 1, nil), kvdb.ErrIllegal)
	_, err := kv.Put("a/b", secret, 0)
	require.NoError(t, err)
	require.Equal(t, kvdb.ErrWatchStopped, <-over)
	all := strings.Join(lines(), "\n")
	require.Contains(t, all, ` op=WatchBatches key="a" waitIndex=0 outcome=ok `)
	require.Contains(t, all, ` op=WatchBatches key="a" waitIndex=1 outcome="Illegal operation`)
	require.Contains(t, all, ` op=WatchBatchesEnd key="a" outcome="Watch Stopped" `)
}

func TestLogTransaction(t *testing.T) {
	kv, lines := logOf(t, openMem(t, nil), nil)
	lock, err := kv.LockWithID("lock", "owner")
	require.NoError(t, err)
	commit := func() error {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		require.NoError(t, kvdb.TxGuard(tx, lock))
		_, err = tx.Put("a", secret, 0)
		require.NoError(t, err)
		require.NoError(t, kvdb.TxDelete(tx, "b"))
		return tx.Commit()
	}
	_, err = kv.Put("b", secret, 0)
	require.NoError(t, err)
	require.NoError(t, commit())
	_, err = kv.Get("b")
	require.Equal(t, kvdb.ErrNotFound, err)
	require.NoError(t, kv.Unlock(lock))
	require.Equal(t, kvdb.ErrInvalidLock, commit())
	tx, err := kv.TxNew()
	require.NoError(t, err)
	require.NoError(t, tx.Abort())

	for i, want := range []string{
		`op=LockWithID key="lock" owner="owner" created=`,
		`op=Put key="b" created=`,
		`op=TxNew outcome=ok`, `op=TxCommit outcome=ok`,
		`op=Get key="b" outcome="Key not found"`,
		`op=Unlock key="lock" created=`,
		`op=TxNew outcome=ok`, `op=TxCommit outcome="Invalid lock/unlock operation"`,
		`op=TxNew outcome=ok`, `op=TxAbort outcome=ok`,
	} {
		require.Contains(t, lines()[i], want)
	}
}

// The wrapper also refuses to guard a transaction that is not a kvdb.TxGuarder, and to delete in
// one that is not a kvdb.TxDeleter.
func TestLogTransactionWithoutGuard(t *testing.T) {
	store := ubermock.NewMockKvdb(gomock.NewController(t))
	kv, _ := logOf(t, store, nil)
	store.EXPECT().TxNew().Return(struct{ kvdb.Tx }{}, nil)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	require.Equal(t, kvdb.ErrNotSupported, kvdb.TxGuard(tx, &kvdb.KVPair{}))
	require.Equal(t, kvdb.ErrNotSupported, kvdb.TxDelete(tx, "a"))
}

func TestLogPages(t *testing.T) {
	store := openMem(t, nil)
	for i := range 5 {
		_, err := store.Put(fmt.Sprint("a/", i), "", 0)
		require.NoError(t, err)
	}
	kv, lines := logOf(t, store, nil)
	pager := kv.(kvdb.Pager)
	keys := []string{}
	for pair, err := range pager.EnumeratePages("a/", 2) {
		require.NoError(t, err)
		keys = append(keys, pair.Key)
	}
	require.Equal(t, []string{"a/0", "a/1", "a/2", "a/3", "a/4"}, keys)
	for range pager.EnumeratePages("a/", 2) {
		break
	}
	for range kvdb.PairsWith(kv, "a/", kvdb.PageOptions{From: "a/2", TTL: true}) {
	}
	require.Len(t, lines(), 3)
	require.Contains(t, lines()[2], ` op=EnumeratePages key="a/" count=3 outcome=ok `)
	require.Contains(t, lines()[0], ` op=EnumeratePages key="a/" count=5 outcome=ok `)
	require.Contains(t, lines()[1], ` op=EnumeratePages key="a/" count=1 outcome=ok `)
}

func TestLogTTLOf(t *testing.T) {
	store := openMem(t, nil)
	_, err := store.Put("a", "", 100)
	require.NoError(t, err)
	kv, lines := logOf(t, store, nil)
	remaining, has, err := kvdb.TTLOf(kv, "a")
	require.NoError(t, err)
	require.True(t, has)
	require.Greater(t, remaining, 50*time.Second)
	_, _, err = kvdb.TTLOf(kv, "b")
	require.Equal(t, kvdb.ErrNotFound, err)
	require.Contains(t, lines()[0], ` op=TTLOf key="a" outcome=ok `)
	require.Contains(t, lines()[1], ` op=TTLOf key="b" outcome="Key not found" `)
}

// A store that is not a kvdb.Pager is enumerated at once.
func TestLogPagesWithoutPager(t *testing.T) {
	store := ubermock.NewMockKvdb(gomock.NewController(t))
	store.EXPECT().Enumerate("a").Return(kvdb.KVPairs{{Key: "a1"}}, errMocked)
	kv, lines := logOf(t, store, nil)
	keys, end := []string{}, error(nil)
	for pair, err := range kvdb.Pairs(kv, "a") {
		if end = err; err == nil {
			keys = append(keys, pair.Key)
		}
	}
	require.Equal(t, []string{"a1"}, keys)
	require.Equal(t, errMocked, end)
	require.Contains(t, lines()[0], ` count=1 outcome="mocked failure" `)
}

func TestLogContext(t *testing.T) {
	kv, lines := logOf(t, openMem(t, nil), nil)
	ctx, cancel := context.WithCancel(t.Context())
	view := kvdb.WithContext(ctx, kv)
	require.Equal(t, kvdb.Wrapper_Log, view.WrapperName())
	_, err := view.Put("a", "", 0)
	require.NoError(t, err)
	cancel()
	_, err = view.Get("a")
	require.ErrorIs(t, err, context.Canceled)

	view.Removed()
	_, err = kv.Get("a")
	require.NoError(t, err)
	require.Len(t, lines(), 3, "removing a view does not close the log")
	require.Contains(t, lines()[1], ` outcome="context canceled" `)
}

func TestLogClose(t *testing.T) {
	kv, lines := logOf(t, openMem(t, nil), nil)
	over := make(chan error, 1)
	require.NoError(t, kv.WatchTree("", 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
		over <- err
		return err
	}))
	view := kvdb.WithContext(t.Context(), kv)
	require.NoError(t, kvdb.Close(view))
	require.Equal(t, kvdb.ErrWatchStopped, <-over)
	require.NoError(t, kvdb.Close(kv))
	_, err := kv.Get("a")
	require.Equal(t, kvdb.ErrClosed, err)

	require.Len(t, lines(), 3)
	require.Contains(t, lines()[1], `op=WatchTreeEnd key="" outcome="Watch Stopped"`)
	require.Contains(t, lines()[2], `op=Close outcome=ok`)
	_, err = kv.(*logWrapper).log.file.Stat()
	require.ErrorIs(t, err, os.ErrClosed)
}

func TestLogRemoved(t *testing.T) {
	store := openMem(t, nil)
	kv, lines := logOf(t, store, nil)
	over := make(chan struct{})
	stop := errors.New("enough")
	require.NoError(t, kv.WatchTree("", 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
		if err != nil {
			close(over)
		}
		return stop
	}))
	removed, err := kvdb.RemoveWrapper(kvdb.Wrapper_Log, kv)
	require.NoError(t, err)
	require.Same(t, store, removed)
	_, err = kv.(*logWrapper).log.file.Stat()
	require.ErrorIs(t, err, os.ErrClosed)

	// Its watches continue, and write no more lines.
	_, err = removed.Put("a", "", 0)
	require.NoError(t, err)
	<-over
	require.Len(t, lines(), 1)
}
