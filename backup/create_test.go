package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
)

func TestCreate(t *testing.T) {
	kv := openMem(t)
	fill(t, kv, "dir", 10)
	dir := t.TempDir()
	path := filepath.Join(dir, "backup")
	for range 2 {
		written, err := Create(t.Context(), path, kv, Options{})
		require.NoError(t, err)
		file, err := os.Open(path)
		require.NoError(t, err)
		info, err := Verify(file)
		require.NoError(t, err)
		require.NoError(t, file.Close())
		require.Equal(t, written, info)
		stat, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), stat.Mode())
		put(t, kv, "more", "x", 0)
	}
	_, err := Create(t.Context(), filepath.Join(dir, "missing", "backup"), kv, Options{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, kvdb.Close(kv))
	_, err = Create(t.Context(), filepath.Join(dir, "other"), kv, Options{})
	require.ErrorIs(t, err, kvdb.ErrClosed)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// createWithLimit backs up the bolt file in its first argument to the second, when files can
// have no more bytes than the third says, as on a disk that is full.
func createWithLimit() {
	kv, err := kvdb.New(bolt.Name, "other", nil, map[string]string{bolt.Path: os.Args[1]}, nil)
	must(err)
	limit, err := strconv.ParseUint(os.Args[3], 10, 64)
	must(err)
	signal.Ignore(syscall.SIGXFSZ)
	must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}))
	_, err = Create(context.Background(), os.Args[2], kv, Options{})
	fmt.Println(err == nil, errors.Is(err, syscall.EFBIG))
}

// A full disk leaves no file, wherever it is noticed, and an older backup as it was.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	store, path := filepath.Join(dir, "store"), filepath.Join(dir, "backups", "backup")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
	kv := openBoltAt(t, store)
	for i := range 300 {
		put(t, kv, fmt.Sprint("key", i), strings.Repeat(fmt.Sprint(i*i*i), 100), 0)
	}
	require.NoError(t, kvdb.Close(kv))
	create := func(limit int64) string {
		cmd := exec.Command(os.Args[0], store, path, strconv.FormatInt(limit, 10))
		cmd.Env = append(os.Environ(), childEnv+"=create")
		out, err := cmd.Output()
		require.NoError(t, err)
		return string(out)
	}
	names := func() (found []string) {
		entries, err := os.ReadDir(filepath.Dir(path))
		require.NoError(t, err)
		for _, entry := range entries {
			found = append(found, entry.Name())
		}
		return found
	}
	require.Equal(t, "true false\n", create(1<<20))
	require.Equal(t, []string{"backup"}, names())
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	whole := int64(len(before))
	for _, limit := range []int64{0, 1, whole / 2, whole - 60, whole - 100} {
		require.Equal(t, "false true\n", create(limit), limit)
		require.Equal(t, []string{"backup"}, names())
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
	require.NoError(t, os.Remove(path))
	require.Equal(t, "false true\n", create(whole/2))
	require.Empty(t, names())
}

// must ends a child process if err is not nil.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
