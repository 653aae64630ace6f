package bolt

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
)

// ErrReadOnly is the error of calls that write or lock if the option ReadOnly is set. It wraps
// kvdb.ErrNotSupported.
var ErrReadOnly = fmt.Errorf("%w: the database file is open read-only", kvdb.ErrNotSupported)

// openReadOnly opens the file at path without changing it.
func openReadOnly(path string, history int) (*database, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	size, err := regular(path)
	if err != nil {
		return nil, err
	}
	if size == 0 {
		return nil, notReady(path, "is empty")
	}
	file, err := openFile(path, bbolt.Options{Timeout: openTimeout, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	var index uint64
	err = guard(path, func() error {
		if err := check(file); err != nil {
			return err
		}
		index, err = file.ready(path)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, file.closeAfter(err))
	}
	db := newDatabase(path, file, history, index)
	db.readOnly = true
	return db, nil
}

// ready returns the index of a file, or an error if only a process that writes can use it.
func (f *boltFile) ready(path string) (index uint64, err error) {
	legacy, err := f.findLegacy([]byte{})
	if err != nil {
		return 0, err
	}
	if legacy != nil {
		return 0, notReady(path, "has the format of an earlier release")
	}
	err = f.View(func(tx *bbolt.Tx) error {
		if tx.Bucket(metaBucket) == nil || tx.Bucket(pairsBucket) == nil || tx.Bucket(expiriesBucket) == nil {
			return notReady(path, "has never been opened to write")
		}
		if index = tx.Bucket(pairsBucket).Sequence(); index > maxIndex {
			return corrupt(path, fmt.Errorf("index %d is not possible", index))
		}
		return nil
	})
	return index, err
}

func notReady(path, reason string) error {
	return fmt.Errorf("%w: %s %s: open it once without the option %s", kvdb.ErrNotSupported, path, reason, ReadOnly)
}
