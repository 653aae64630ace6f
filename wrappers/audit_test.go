package wrappers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mock/ubermock"
)

func TestLogFile(t *testing.T) {
	t.Chdir(t.TempDir())
	kv, err := NewLogWrapper(openMem(t, nil), nil)
	require.NoError(t, err)
	defer kv.Removed()
	info, err := os.Stat("kvdb_audit.log")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte("before\n"), 0o600))
	other, err := NewLogWrapper(openMem(t, nil), map[string]string{kvdb.LogPathOption: path})
	require.NoError(t, err)
	defer other.Removed()
	_, err = other.Put("a", "", 0)
	require.NoError(t, err)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Regexp(t, "^before\ntime=[^\n]* op=Put [^\n]*\n$", string(content))
}

func TestLogOptions(t *testing.T) {
	for option, value := range map[string]string{
		kvdb.LogPathOption: t.TempDir(), // a folder
		LogLevelOption:     "loud",
	} {
		t.Chdir(t.TempDir())
		kv, err := NewLogWrapper(openMem(t, nil), map[string]string{option: value})
		require.ErrorContains(t, err, option)
		require.ErrorContains(t, err, value)
		require.Nil(t, kv)
	}
}

func TestLogLevels(t *testing.T) {
	use := func(kv kvdb.Kvdb) {
		_, err := kv.Put("a", "", 0)
		require.NoError(t, err)
		_, err = kv.Create("a", "", 0)
		require.Equal(t, kvdb.ErrExist, err)
	}
	kv, lines := logOf(t, openMem(t, nil), map[string]string{LogLevelOption: LogFailures})
	use(kv)
	require.Len(t, lines(), 1)
	require.Contains(t, lines()[0], `op=Create key="a" created=1 modified=1 index=1 outcome="Key already exists"`)

	t.Chdir(t.TempDir())
	off, err := NewLogWrapper(openMem(t, nil), map[string]string{LogLevelOption: LogOff})
	require.NoError(t, err)
	use(off)
	require.NoError(t, kvdb.Close(off))
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, files)
}

// A log that is off formats nothing, so it allocates nothing.
func TestLogOffAllocations(t *testing.T) {
	store := &readOnly{pair: &kvdb.KVPair{Key: "key", ModifiedIndex: 12345}}
	kv, err := NewLogWrapper(store, map[string]string{LogLevelOption: LogOff})
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = kv.Get("key") }))
}

// readOnly is a store whose Get costs nothing.
type readOnly struct {
	kvdb.Kvdb
	pair *kvdb.KVPair
}

func (r *readOnly) Get(string) (*kvdb.KVPair, error) { return r.pair, nil }

func TestLogConcurrently(t *testing.T) {
	const goroutines, each = 8, 50
	kv, lines := logOf(t, openMem(t, nil), nil)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			view := kvdb.WithContext(t.Context(), kv)
			for range each {
				if _, err := view.Put(fmt.Sprint(g), secret, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, lines(), goroutines*each)
	for _, line := range lines() {
		require.Regexp(t, `^time=.* op=Put key="\d" .* outcome=ok duration=\S+$`, line)
	}
}

// The line has the duration of the operation.
func TestLogDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := ubermock.NewMockKvdb(gomock.NewController(t))
		kv, lines := logOf(t, store, nil)
		store.EXPECT().Compact(uint64(1)).DoAndReturn(func(uint64) error {
			time.Sleep(3 * time.Second)
			return nil
		})
		require.NoError(t, kv.Compact(1))
		require.Contains(t, lines()[0], " duration=3s")
	})
}

func BenchmarkLogGet(b *testing.B) {
	get := func(b *testing.B, kv kvdb.Kvdb) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := kv.Get("volumes/1234"); err != nil {
				b.Fatal(err)
			}
		}
	}
	store := openMem(b, nil)
	_, err := store.Put("volumes/1234", strings.Repeat("v", 127), 0)
	require.NoError(b, err)
	b.Run("bare", func(b *testing.B) { get(b, store) })
	for _, level := range []string{LogAll, LogFailures, LogOff} {
		b.Run(level, func(b *testing.B) {
			kv, err := NewLogWrapper(store, map[string]string{
				kvdb.LogPathOption: filepath.Join(b.TempDir(), "log"), LogLevelOption: level,
			})
			require.NoError(b, err)
			b.Cleanup(kv.Removed)
			get(b, kv)
		})
	}
}
