// Package atomicfile writes files that are complete or not there, also after a crash.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// Write replaces the file at path by what write writes. It writes a temporary file in the same
// folder, syncs it, renames it and syncs the folder. If it fails, an earlier file stays as it
// is. mode is that of the new file. write may also read what it has written.
func Write(path string, mode os.FileMode, write func(*os.File) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = fill(f, mode, write)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncFolder(path)
}

// fill writes, syncs and closes f.
func fill(f *os.File, mode os.FileMode, write func(*os.File) error) error {
	err := write(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncFolder makes the names in the folder of path durable.
func SyncFolder(path string) error {
	if runtime.GOOS == "windows" { // It has no such call.
		return nil
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
