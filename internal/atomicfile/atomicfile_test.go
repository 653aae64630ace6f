package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/internal/atomicfile"
)

// A file is replaced as a whole, with its mode, or stays as it was. Nothing else stays in the
// folder.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	text := func(text string, err error) func(*os.File) error {
		return func(f *os.File) error { _, _ = f.WriteString(text); return err }
	}
	failed := errors.New("failed")
	require.ErrorIs(t, atomicfile.Write(path, 0o600, text("half", failed)), failed)
	require.NoFileExists(t, path)
	require.NoError(t, atomicfile.Write(path, 0o640, text("first", nil)))
	require.NoError(t, atomicfile.Write(path, 0o600, text("2", nil)))
	require.ErrorIs(t, atomicfile.Write(path, 0o600, text("half", failed)), failed)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "2", string(content))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Error(t, atomicfile.Write(filepath.Join(dir, "missing", "file"), 0o600, text("", nil)))
	// A folder with that name cannot be replaced.
	require.Error(t, atomicfile.Write(dir, 0o600, text("", nil)))
	require.NoFileExists(t, filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)))
}
