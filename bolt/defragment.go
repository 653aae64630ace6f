package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/atomicfile"
)

// copyBytes bounds a transaction that copies records.
const copyBytes = 1 << 20

// GetEndpoints returns the absolute path of the database file.
func (s *store) GetEndpoints(context.Context) []string { return []string{s.db.path} }

// Defragment writes the file again, without the space of deleted pairs, which bbolt
// uses again but never frees. endpoint is a path of the file, or "". timeout is in
// seconds, 0 means none. The folder of the file must have space for the new one.
//
// Writes wait until Defragment is done, and until the reads that began before are done
// (for example a snapshot). Reads and watches continue. If Defragment fails, the process
// is killed or the machine stops, the file is the old one or the new one, and complete.
func (s *store) Defragment(ctx context.Context, endpoint string, timeout int) error {
	if endpoint != "" {
		if path, err := filepath.Abs(endpoint); err != nil || !sameFile(path, s.db.path) {
			return fmt.Errorf("%w: defragment %q: this is not the instance's file, %s", kvdb.ErrIllegal, endpoint, s.db.path)
		}
	}
	if timeout < 0 {
		return fmt.Errorf("%w: defragment: timeout %d s", kvdb.ErrIllegal, timeout)
	} else if timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(timeout)*time.Second)
		defer cancel()
		ctx = limited
	}
	if s.readOnly {
		return ErrReadOnly
	}
	select {
	case <-s.db.writeLock:
		defer func() { s.db.writeLock <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("defragment %s: %w", s.db.path, driver.WithCause(ctx, nil))
	}
	if err := s.db.defragment(ctx); err != nil {
		return fmt.Errorf("defragment %s: %w", s.db.path, err)
	}
	return nil
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// defragment replaces the file by a copy. The caller holds the write lock.
func (db *database) defragment(ctx context.Context) error {
	if err := db.usable(); err != nil {
		return err
	}
	old, path := db.file.Load(), db.path+compactSuffix
	if err := remove(path); err != nil {
		return err
	}
	compact, err := openFile(path, bbolt.Options{NoSync: true, NoGrowSync: true, InitialMmapSize: mapSize()})
	if err != nil {
		return errors.Join(err, remove(path)) // it may exist in part, if the disk is full
	}
	err = guard(db.path, func() error { return copyFile(ctx, compact.DB, old.DB) })
	if err == nil {
		err = db.swap(old, compact)
	}
	if err != nil {
		return errors.Join(err, compact.closeAfter(err), remove(path))
	}
	// The new name of the file is not durable yet, so the next writes would not be
	// durable either.
	db.repair = func() error { return atomicfile.SyncFolder(db.path) }
	// Earlier readers still use the old file. closeAfter waits for them.
	return errors.Join(db.usable(), old.closeAfter(nil))
}

// swap makes compact the file, with the name and mode of the old one. compact has been
// locked since it was created, so no other process can open the file in between.
func (db *database) swap(old, compact *boltFile) error {
	info, err := old.raw.Stat()
	if err != nil {
		return err
	}
	if err := db.inPlace(); err != nil {
		return err
	}
	if err := compact.raw.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	if err := compact.Sync(); err != nil {
		return err
	}
	compact.NoSync, compact.NoGrowSync = false, false
	if err := db.shared.replace(compact.raw.Name(), db.path); err != nil {
		return err
	}
	db.file.Store(compact)
	return nil
}

// copier copies a file in transactions of bounded size.
type copier struct {
	ctx  context.Context
	to   *bbolt.DB
	tx   *bbolt.Tx // of to
	size int       // bytes written in tx
}

// copyFile copies all buckets of from to the empty file to.
func copyFile(ctx context.Context, to, from *bbolt.DB) error {
	c := &copier{ctx: ctx, to: to}
	if err := c.begin(); err != nil {
		return err
	}
	defer func() { _ = c.tx.Rollback() }() // fails after Commit
	return from.View(func(tx *bbolt.Tx) error {
		err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error { return c.bucket([][]byte{name}, b) })
		if err != nil {
			return err
		}
		return c.commit()
	})
}

// commit commits the copied records, unless the context has ended.
func (c *copier) commit() error {
	if c.ctx.Err() != nil {
		return driver.WithCause(c.ctx, nil)
	}
	return c.tx.Commit()
}

func (c *copier) begin() (err error) {
	c.size = 0
	c.tx, err = c.to.Begin(true)
	return err
}

// open returns the bucket at path, and creates it if it does not exist.
func (c *copier) open(path [][]byte) (*bbolt.Bucket, error) {
	b, err := c.tx.CreateBucketIfNotExists(path[0])
	for _, name := range path[1:] {
		if err != nil {
			return nil, err
		}
		b, err = b.CreateBucketIfNotExists(name)
	}
	if err != nil {
		return nil, err
	}
	b.FillPercent = 1 // because keys are written in order
	return b, nil
}

// bucket copies the bucket from, which is at path.
func (c *copier) bucket(path [][]byte, from *bbolt.Bucket) error {
	to, err := c.open(path)
	if err != nil {
		return err
	}
	if err := to.SetSequence(from.Sequence()); err != nil {
		return err
	}
	return from.ForEach(func(key, value []byte) error {
		if value == nil {
			if err := c.bucket(append(path[:len(path):len(path)], key), from.Bucket(key)); err != nil {
				return err
			}
			to, err = c.open(path)
			return err
		}
		if c.size += len(key) + len(value); c.size > copyBytes {
			if err := c.commit(); err != nil {
				return err
			}
			if err := c.begin(); err != nil {
				return err
			}
			if to, err = c.open(path); err != nil {
				return err
			}
		}
		return to.Put(key, value)
	})
}
