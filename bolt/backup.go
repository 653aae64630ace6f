package bolt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

const (
	// BackupSuffix is behind the path of the copy that is made of a file of an
	// earlier release before its records are moved to the present format.
	BackupSuffix = ".before-migration"
	// partSuffix is behind the path of that copy until it is complete.
	partSuffix = ".part"
)

// backUp copies the file, whose path is path, unless a copy is there already. It
// has its final name only when it is complete and on disk.
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
		return errors.Join(fmt.Errorf("copy it to %s before it is moved to the present format: %w", backup, err), remove(part))
	}
	if err := os.Rename(part, backup); err != nil {
		return errors.Join(err, remove(part))
	}
	return syncFolder(path)
}

// copyTo writes a copy with the same mode to path, in place of what is there. The
// caller has the file for itself.
func (f *boltFile) copyTo(path string) error {
	info, err := f.raw.Stat()
	if err != nil {
		return err
	}
	if err := remove(path); err != nil { // so that its mode is the file's
		return err
	}
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.NewSectionReader(f.raw, 0, info.Size()))
	return errors.Join(err, to.Sync(), to.Close())
}

// remove removes a file, if it is there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
