package common

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBaseIsNotAWrapper(t *testing.T) {
	b := &BaseKvdb{}
	require.Equal(t, kvdb.Wrapper_None, b.WrapperName())
	require.Nil(t, b.WrappedKvdb())
	require.Equal(t, kvdb.ErrNotSupported, b.SetWrappedKvdb(nil))
	b.Removed()
}

func TestLockDurations(t *testing.T) {
	b := &BaseKvdb{}
	require.Equal(t, kvdb.DefaultLockTryDuration, b.GetLockTryDuration())
	require.Zero(t, b.GetLockHoldDuration())
	b.SetLockHoldDuration(time.Minute)
	require.Equal(t, time.Minute, b.GetLockHoldDuration())

	b = &BaseKvdb{LockTryDuration: time.Second, LockHoldTimeout: time.Hour}
	require.Equal(t, time.Second, b.GetLockTryDuration())
	require.Equal(t, time.Hour, b.GetLockHoldDuration())
}

type report struct {
	err  error
	text string
}

// reports returns a fatal callback and a list of its calls.
func reports() (kvdb.FatalErrorCB, *[]report) {
	got := &[]report{}
	return func(err error, format string, args ...interface{}) {
		*got = append(*got, report{err, fmt.Sprintf(format, args...)})
	}, got
}

func TestCheckLockTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cb, got := reports()
		b := &BaseKvdb{FatalCb: cb}
		start := time.Now()
		time.Sleep(10 * time.Second)
		b.CheckLockTimeout("a/key", start, 0)
		b.CheckLockTimeout("a/key", start, 10*time.Second)
		require.Empty(t, *got)
		b.CheckLockTimeout("a/key", start, 9*time.Second)
		require.Len(t, *got, 1)
		require.Equal(t, kvdb.ErrLockHoldTimeoutTriggered, (*got)[0].err)
		require.Contains(t, (*got)[0].text, "a/key")
		require.Contains(t, (*got)[0].text, "10s")
	})
}

func TestSetFatalCb(t *testing.T) {
	b := &BaseKvdb{}
	b.LockTimedout("key", time.Second) // logged, because there is no callback
	cb, got := reports()
	b.SetFatalCb(cb)
	b.LockTimedout("key", time.Second)
	require.Len(t, *got, 1)
	require.Equal(t, kvdb.ErrLockHoldTimeoutTriggered, (*got)[0].err)
}

// The callback may use the instance, because no lock is held while it runs.
func TestFatalCbCallsBack(t *testing.T) {
	b := &BaseKvdb{}
	called := false
	b.SetFatalCb(func(error, string, ...interface{}) {
		b.SetFatalCb(nil)
		b.SetLockHoldDuration(time.Second)
		called = true
	})
	b.LockTimedout("key", time.Second)
	require.True(t, called)
	require.Equal(t, time.Second, b.GetLockHoldDuration())
}

func TestSettingsConcurrently(t *testing.T) {
	b := &BaseKvdb{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 100 {
				b.SetLockHoldDuration(time.Duration(i))
				b.SetFatalCb(func(error, string, ...interface{}) {})
				b.LockTimedout("key", b.GetLockHoldDuration()+b.GetLockTryDuration())
			}
		})
	}
	wg.Wait()
}

func TestSerializeAll(t *testing.T) {
	b := &BaseKvdb{}
	pairs := kvdb.KVPairs{
		{Key: "a", Value: []byte("\x00\xffbinary"), Action: kvdb.KVGet, TTL: 7,
			KVDBIndex: 9, CreatedIndex: 3, ModifiedIndex: 1<<63 + 1},
		{Key: "empty", Value: []byte{}},
		{Key: "<&>"},
		{Key: "not\xff\xfeUTF-8"},
	}
	encoded, err := b.SerializeAll(pairs)
	require.NoError(t, err)
	decoded, err := b.DeserializeAll(encoded)
	require.NoError(t, err)
	require.Equal(t, pairs, decoded)
}

func TestSerializeNothing(t *testing.T) {
	b := &BaseKvdb{}
	encoded, err := b.SerializeAll(nil)
	require.NoError(t, err)
	require.Equal(t, "[]", string(encoded))
	decoded, err := b.DeserializeAll(encoded)
	require.NoError(t, err)
	require.Empty(t, decoded)
}

func TestDeserializeGarbage(t *testing.T) {
	b := &BaseKvdb{}
	for _, garbage := range []string{"", "{}", "[1]", `[{"Key":1}]`, "[null]", `[{"Value":"*"}]`, "[{}] x"} {
		_, err := b.DeserializeAll([]byte(garbage))
		require.ErrorIs(t, err, kvdb.ErrUnmarshal, "%q", garbage)
	}
}

// Keys of any bytes are kept, and the encoding of keys that are UTF-8 is that of earlier
// releases.
func TestSerializeKeysThatAreNotUTF8(t *testing.T) {
	b := &BaseKvdb{}
	pairs := kvdb.KVPairs{{Key: "text", Value: []byte("v")}, {Key: "a\xff\xfeb", TTL: 3}, {Key: "\ufffd"}}
	encoded, err := b.SerializeAll(pairs)
	require.NoError(t, err)
	decoded, err := b.DeserializeAll(encoded)
	require.NoError(t, err)
	require.Equal(t, pairs, decoded)

	var older kvdb.KVPairs // as readers without RawKey see it
	require.NoError(t, json.Unmarshal(encoded, &older))
	require.Equal(t, "text", older[0].Key)
	require.Equal(t, "a\ufffd\ufffdb", older[1].Key)

	text, err := b.SerializeAll(pairs[:1])
	require.NoError(t, err)
	plain, err := json.Marshal(pairs[:1])
	require.NoError(t, err)
	require.Equal(t, string(plain), string(text))

	decoded, err = b.DeserializeAll([]byte("[{}]"))
	require.NoError(t, err)
	require.Equal(t, kvdb.KVPairs{{}}, decoded)
	encoded, err = b.SerializeAll(nil)
	require.NoError(t, err)
	require.Equal(t, "[]", string(encoded))
}
