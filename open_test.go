package kvdb_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// logs returns a logger, and a function that returns what it has logged without the times.
func logs() (*slog.Logger, func() string) {
	var written bytes.Buffer
	handler := slog.NewTextHandler(&written, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(handler), written.String
}

func TestOpen(t *testing.T) {
	store := &bare{}
	name, calls := registerStub(t, store, nil)
	called := false
	c := kvdb.Config{
		Backend: name, Domain: "domain", Endpoints: []string{"machine"}, Options: map[string]string{"option": "value"},
		OnFatal: func(error, string, ...interface{}) { called = true },
	}
	kv, err := kvdb.Open(t.Context(), c)
	require.NoError(t, err)
	require.Same(t, store, kv)
	require.Len(t, *calls, 1)
	call := (*calls)[0]
	require.Equal(t, opened{c.Domain, c.Endpoints, c.Options, nil}, opened{call.domain, call.machines, call.options, nil})
	call.cb(nil, "")
	require.True(t, called)

	_, err = kvdb.Open(t.Context(), kvdb.Config{Backend: name})
	require.NoError(t, err)
	require.Equal(t, opened{}, (*calls)[1], "without a callback the backend logs fatal errors")

	broken := errors.New("broken")
	name, _ = registerStub(t, nil, broken)
	_, err = kvdb.Open(t.Context(), kvdb.Config{Backend: name})
	require.Equal(t, broken, err)
}

func TestOpenOfAnUnknownBackend(t *testing.T) {
	_, err := kvdb.Open(t.Context(), kvdb.Config{Backend: "kv-men"})
	require.ErrorIs(t, err, kvdb.ErrNotSupported)
	require.ErrorContains(t, err, `"kv-men"`)
	require.ErrorContains(t, err, `"`+mem.Name+`"`)
	require.ErrorContains(t, err, "import")
}

// declared registers a backend and a wrapper that declare options, and returns their names.
func declared(t *testing.T) (backend, wrapper string) {
	backend, _ = registerStub(t, &bareStore{}, nil)
	wrapper = unusedName()
	require.NoError(t, kvdb.RegisterWrapper(kvdb.WrapperName(wrapper), newLink(kvdb.WrapperName(wrapper))))
	kvdb.RegisterOptions(backend, "Size", "RetryCount")
	kvdb.RegisterOptions(backend, "Path-of-"+backend)
	kvdb.RegisterOptions(wrapper, "Level-of-"+wrapper)
	return backend, wrapper
}

func TestStrictOptions(t *testing.T) {
	backend, wrapper := declared(t)
	plain, _ := registerStub(t, &bareStore{}, nil)
	kvdb.RegisterOptions(plain)
	silent, _ := registerStub(t, &bareStore{}, nil)
	wrapped := func(options ...string) map[string]string {
		all := map[string]string{kvdb.WrappersOption: wrapper}
		for _, option := range options {
			all[option] = ""
		}
		return all
	}
	ofWrapper := "Level-of-" + wrapper
	for _, c := range []struct {
		backend string
		options map[string]string
		is      error
		text    string
	}{
		{backend, nil, nil, ""},
		{backend, map[string]string{"Size": "1", "RetryCount": "1", "Path-of-" + backend: ""}, nil, ""},
		{backend, wrapped("Size", ofWrapper), nil, ""},
		{backend, map[string]string{"RetryCuont": "1"}, kvdb.ErrIllegal,
			`Illegal operation: option "RetryCuont" is not known to ` + backend + `; did you mean "RetryCount"?`},
		{backend, map[string]string{"size": "1"}, kvdb.ErrIllegal, `did you mean "Size"?`},
		{backend, map[string]string{"Wrappers": ""}, kvdb.ErrIllegal, `did you mean "WrappersOption"?`},
		{plain, map[string]string{"x": ""}, kvdb.ErrIllegal, `did you mean "WrappersOption"?`},
		{backend, wrapped("level-of-" + wrapper), kvdb.ErrIllegal,
			`is not known to ` + backend + ` or ` + wrapper + `; did you mean "` + ofWrapper + `"?`},
		{backend, map[string]string{ofWrapper: ""}, kvdb.ErrIllegal, `is an option of ` + wrapper + `, not of ` + backend},
		{plain, map[string]string{"Path-of-" + backend: ""}, kvdb.ErrIllegal, `is an option of ` + backend + `, not of ` + plain},
		{silent, map[string]string{"any": ""}, kvdb.ErrNotSupported,
			`option "any" cannot be checked, because ` + silent + ` does not declare its options`},
		{silent, wrapped(ofWrapper), nil, ""},
		{backend, map[string]string{kvdb.WrappersOption: "nobody", "any": ""}, kvdb.ErrNotSupported,
			`option WrappersOption: wrapper "nobody": implementation not supported`},
	} {
		kv, err := kvdb.Open(t.Context(), kvdb.Config{Backend: c.backend, Options: c.options, Strict: true})
		if c.is == nil {
			require.NoError(t, err, "%v", c.options)
			require.NoError(t, kvdb.Close(kv))
			continue
		}
		require.ErrorIs(t, err, c.is)
		require.ErrorContains(t, err, c.text)
	}
	_, err := kvdb.Open(t.Context(), kvdb.Config{Backend: backend, Options: map[string]string{"b": "", "a": ""}, Strict: true})
	require.Regexp(t, `^Illegal operation: option "a" .*\nIllegal operation: option "b" .*$`, err.Error())
}

// New and an Open that is not strict warn of options that are not known, without their values.
func TestWarningsOfUnknownOptions(t *testing.T) {
	backend, wrapper := declared(t)
	silent, _ := registerStub(t, &bareStore{}, nil)
	logged := logtest.NewGlobal()
	defer logrus.StandardLogger().ReplaceHooks(logrus.LevelHooks{})
	options := map[string]string{
		"RetryCuont": "secret", "Size": "", "Level-of-" + wrapper: "", // which AddWrapper may get too
	}
	const text = `kvdb: option \"RetryCuont\" is not known to `
	_, err := kvdb.New(backend, "", nil, options, nil)
	require.NoError(t, err)
	require.Len(t, logged.AllEntries(), 1)
	require.Equal(t, logrus.WarnLevel, logged.LastEntry().Level)
	require.Equal(t, `kvdb: option "RetryCuont" is not known to `+backend+`; did you mean "RetryCount"?`, logged.LastEntry().Message)
	_, err = kvdb.Open(t.Context(), kvdb.Config{Backend: backend, Options: options})
	require.NoError(t, err)
	require.Len(t, logged.AllEntries(), 2)

	_, err = kvdb.New(silent, "", nil, options, nil)
	require.NoError(t, err)
	_, err = kvdb.New(backend, "", nil, map[string]string{"Size": ""}, nil)
	require.NoError(t, err)
	logger, lines := logs()
	_, err = kvdb.Open(t.Context(), kvdb.Config{Backend: backend, Options: options, Logger: logger})
	require.NoError(t, err)
	require.Equal(t, `level=WARN msg="`+text+backend+`; did you mean \"RetryCount\"?"`+"\n", lines())
	require.Len(t, logged.AllEntries(), 2, "logrus gets nothing if there is a logger, and nothing without unknown options")
}

// Without a callback the logger gets fatal errors.
func TestOpenLogsFatalErrors(t *testing.T) {
	name, calls := registerStub(t, &bare{}, nil)
	logger, lines := logs()
	_, err := kvdb.Open(t.Context(), kvdb.Config{Backend: name, Logger: logger})
	require.NoError(t, err)
	(*calls)[0].cb(kvdb.ErrLockRefreshFailed, "Lock %s", "key")
	require.Equal(t, `level=ERROR msg="Lock key" error="Failed to refresh lock"`+"\n", lines())

	called := false
	_, err = kvdb.Open(t.Context(), kvdb.Config{Backend: name, Logger: logger,
		OnFatal: func(error, string, ...interface{}) { called = true }})
	require.NoError(t, err)
	(*calls)[1].cb(kvdb.ErrLockRefreshFailed, "")
	require.True(t, called)
}

// slow registers a backend whose New returns kv and err a minute after it is called.
func slow(t *testing.T, kv kvdb.Kvdb, err error) (name string) {
	name = unusedName()
	require.NoError(t, kvdb.Register(name, func(string, []string, map[string]string, kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		time.Sleep(time.Minute)
		return kv, err
	}, nil))
	return name
}

// counted counts its Close calls, which another goroutine makes.
type counted struct {
	bareStore
	closed atomic.Int64
}

func (c *counted) Close() error {
	c.closed.Add(1)
	return nil
}

// Open returns when its context ends. An instance that arrives later is closed.
func TestOpenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{}
		name := slow(t, store, nil)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		kv, err := kvdb.Open(ctx, kvdb.Config{Backend: name})
		require.Nil(t, kv)
		require.Equal(t, context.DeadlineExceeded, err)
		require.Equal(t, time.Second, time.Since(began))
		require.Zero(t, store.closed.Load())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, 1, store.closed.Load())

		reason := errors.New("reason")
		canceled, end := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { end(reason) })
		_, err = kvdb.Open(canceled, kvdb.Config{Backend: name})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, reason)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, 2, store.closed.Load())

		_, err = kvdb.Open(canceled, kvdb.Config{Backend: name})
		require.ErrorIs(t, err, reason)
		require.EqualValues(t, 2, store.closed.Load(), "with a context that has ended the backend is not called")

		ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		kv, err = kvdb.Open(ctx, kvdb.Config{Backend: name})
		cancel()
		require.NoError(t, err)
		require.Same(t, store, kv)
		synctest.Wait()
		require.EqualValues(t, 2, store.closed.Load(), "the context ends only the opening")
	})
}

// What goes wrong after Open has returned is logged.
func TestOpenLogsLateErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, name := range []string{slow(t, nil, kvdb.ErrNoConnection), slow(t, &closable{err: kvdb.ErrNoConnection}, nil)} {
			logger, lines := logs()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := kvdb.Open(ctx, kvdb.Config{Backend: name, Logger: logger})
			require.Equal(t, context.DeadlineExceeded, err)
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(t, `level=WARN msg="kvdb: Open of `+name+`, after its context had ended: No server connection"`+"\n", lines())
		}
	})
}

type operationHook struct{ started int }

func (h *operationHook) OnOperationStart(ctx context.Context, _ kvdb.Operation) context.Context {
	h.started++
	return ctx
}

func (h *operationHook) OnOperationEnd(context.Context, kvdb.Operation, kvdb.Outcome, error, time.Duration) {
}

// observable is a store that keeps its hooks.
type observable struct {
	closable
	hooks []kvdb.Hook
}

func (o *observable) AddHooks(hooks ...kvdb.Hook) { o.hooks = append(o.hooks, hooks...) }
func (o *observable) RemoveHooks(...kvdb.Hook)    {}

func TestOpenAddsHooks(t *testing.T) {
	store, h := &observable{}, &operationHook{}
	name, _ := registerStub(t, store, nil)
	_, err := kvdb.Open(t.Context(), kvdb.Config{Backend: name, Hooks: []kvdb.Hook{h}})
	require.NoError(t, err)
	require.Equal(t, []kvdb.Hook{h}, store.hooks)

	_, err = kvdb.Open(t.Context(), kvdb.Config{Backend: name, Hooks: []kvdb.Hook{h, "no hook"}})
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	require.Equal(t, 1, store.closed, "an instance that Open does not return is closed")

	unobservable := &closable{}
	name, _ = registerStub(t, unobservable, nil)
	_, err = kvdb.Open(t.Context(), kvdb.Config{Backend: name, Hooks: []kvdb.Hook{h}})
	require.ErrorIs(t, err, kvdb.ErrNotSupported)
	require.Equal(t, 1, unobservable.closed)
}
