package kvdbslog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/kvdbslog"
	"github.com/portworx/kvdb/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plain returns options for lines without times.
func plain(level slog.Level) *slog.HandlerOptions {
	return &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "took" || a.Key == "waited" || a.Key == "held" {
			return slog.Attr{}
		}
		return a
	}}
}

// call calls each method of the hook.
func call(h *kvdbslog.Hook) {
	ctx := context.Background()
	refused := errors.New("connection refused")
	request := fmt.Errorf("no answer: %w", &url.Error{Op: "Get", URL: "http://host/v1/kv/the-key", Err: refused})
	op := kvdb.Operation{Backend: "b", Domain: "d", Name: "get", Key: "the-key"}
	watch := kvdb.Watch{Backend: "b", Domain: "d", Key: "the-key"}
	lock := kvdb.LockInfo{Backend: "b", Domain: "d", Key: "the-key", ID: "me", Token: 7}
	h.OnOperationEnd(h.OnOperationStart(ctx, op), op, kvdb.OutcomeNoConnection, request, time.Second)
	h.OnRequest(ctx, kvdb.Request{Backend: "b", Endpoint: "host:1", Attempt: 2, Fate: kvdb.FateNotRun, Err: request})
	h.OnConnectionMade("b", "host:1")
	h.OnConnectionLost("b", "host:1", refused)
	h.OnConnectionLost("b", "host:1", nil)
	h.OnWatchStart(watch)
	h.OnWatchQueue(watch, 3)
	h.OnWatchInterrupted(watch, request)
	h.OnWatchResumed(watch, time.Second)
	h.OnWatchEnd(watch, kvdb.ErrWatchStopped, context.Canceled)
	h.OnWatchEnd(watch, kvdb.ErrWatchStopped, fmt.Errorf("the-key: %w", kvdb.ErrNoConnection))
	h.OnWatchEnd(watch, kvdb.ErrWatchRevisionCompacted, nil)
	h.OnLockWaiting(lock)
	h.OnLockObtained(lock, time.Second)
	h.OnLockNotObtained(lock, time.Second, kvdb.ErrExist)
	h.OnLockHeldTooLong(lock, time.Second)
	h.OnLockLost(lock, time.Second, kvdb.LockExpired)
	h.OnLockReleased(lock, time.Second, nil)
}

// Each event has its level. Keys are logged at DEBUG only.
func TestLevels(t *testing.T) {
	lines := func(level slog.Level) string {
		var out bytes.Buffer
		call(kvdbslog.New(slog.New(slog.NewTextHandler(&out, plain(level)))))
		return out.String()
	}
	require.Equal(t, `level=WARN msg="kvdb: connection lost" backend=b endpoint=host:1 error="connection refused"
level=WARN msg="kvdb: watch interrupted" backend=b domain=d error="connection refused"
level=WARN msg="kvdb: watch ended" backend=b domain=d error="Watch Stopped" reason=no_connection
level=WARN msg="kvdb: watch ended" backend=b domain=d error="Kvdb watch revision compacted"
level=WARN msg="kvdb: lock held too long" backend=b domain=d id=me token=7
level=WARN msg="kvdb: lock lost" backend=b domain=d id=me token=7 reason=expired
`, lines(slog.LevelWarn))
	info := lines(slog.LevelInfo)
	require.Contains(t, info, `level=INFO msg="kvdb: connection made" backend=b endpoint=host:1`)
	require.Contains(t, info, `level=INFO msg="kvdb: connection closed" backend=b endpoint=host:1`)
	require.Contains(t, info, `level=INFO msg="kvdb: watch resumed" backend=b domain=d gap=1s`)
	require.Equal(t, 6+3, strings.Count(info, "\n"))
	require.NotContains(t, info, "the-key")
	debug := lines(slog.LevelDebug)
	require.Contains(t, debug,
		`level=DEBUG msg="kvdb: operation" backend=b domain=d operation=get key=the-key outcome=no_connection error="connection refused"`)
	require.Contains(t, debug,
		`level=DEBUG msg="kvdb: request" backend=b endpoint=host:1 attempt=2 fate=not_run error="connection refused"`)
	require.Contains(t, debug, `level=WARN msg="kvdb: lock lost" backend=b domain=d id=me token=7 key=the-key reason=expired`)
	require.Equal(t, 6+3+8, strings.Count(debug, "\n"))
}

// The name of the wrapper is enough to log an instance's operations.
func TestWrapper(t *testing.T) {
	var out bytes.Buffer
	earlier := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, plain(slog.LevelDebug))))
	defer slog.SetDefault(earlier)
	kv, err := kvdb.New(mem.Name, "domain", nil, map[string]string{kvdb.WrappersOption: string(kvdbslog.Wrapper)}, nil)
	require.NoError(t, err)
	defer kvdb.Close(kv)
	_, err = kv.Put("key", "secret", 0)
	require.NoError(t, err)
	require.Contains(t, out.String(), "operation=put key=key outcome=ok")
	require.NotContains(t, out.String(), "secret")
	out.Reset()
	below, err := kvdb.RemoveWrapper(kvdbslog.Wrapper, kv)
	require.NoError(t, err)
	_, err = below.Get("key")
	require.NoError(t, err)
	require.Empty(t, out.String())
}

func Example() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, plain(slog.LevelDebug)))
	kv, err := mem.New("my/app", nil, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer kvdb.Close(kv)
	if err := kvdb.AddHooks(kv, kvdbslog.New(logger)); err != nil {
		fmt.Println(err)
		return
	}
	_, _ = kv.Get("missing")
	// Output: level=DEBUG msg="kvdb: operation" backend=kv-mem domain=my/app operation=get key=missing outcome=not_found error="Key not found"
}

// The cost of an operation's hook while its level is off.
func BenchmarkOff(b *testing.B) {
	h := kvdbslog.New(slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, op := b.Context(), kvdb.Operation{Backend: "b", Name: "get", Key: "key"}
	b.ReportAllocs()
	for b.Loop() {
		h.OnOperationEnd(h.OnOperationStart(ctx, op), op, kvdb.OutcomeOK, nil, time.Second)
	}
}
