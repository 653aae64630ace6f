package bolt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/portworx/kvdb/internal/atomicfile"
)

const (
	// BackupSuffix is added to the path of a file of an earlier release for the copy
	// that is made before its migration.
	BackupSuffix = ".before-migration"
	// partSuffix is added to the path of that copy until it is complete.
	partSuffix = ".part"
)

// backUp copies the file, whose path is path, unless a copy exists. The copy gets its
// final name when it is complete and on disk.
func (f *boltFile) backUp(path string) error {
	backup := path + BackupSuffix
	info, err := os.Lstat(backup)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file: %v", backup, info.Mode())
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	part := backup + partSuffix
	if err := f.copyTo(part); err != nil {
		return errors.Join(fmt.Errorf("copy it to %s before its migration: %w", backup, err), remove(part))
	}
	if err := os.Rename(part, backup); err != nil {
		return errors.Join(err, remove(part))
	}
	return atomicfile.SyncFolder(path)
}

// copyTo writes a copy with the same mode to path, and replaces a file there. Nobody
// writes to the file meanwhile.
func (f *boltFile) copyTo(path string) error {
	info, err := f.raw.Stat()
	if err != nil {
		return err
	}
	if err := remove(path); err != nil { // so that the mode is set
		return err
	}
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.NewSectionReader(f.raw, 0, info.Size()))
	return errors.Join(err, to.Sync(), to.Close())
}

// remove removes a file if it exists.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
