package bolt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb/internal/tree"
)

// formatVersion is the version of the file format. The file has it under formatKey in the
// bucket metaBucket, as 4 bytes, big-endian. A file with another version is refused.
const formatVersion = 1

var formatKey = []byte("format")

const (
	// moveRecords and moveBytes bound a transaction that migrates records.
	moveRecords = 1000
	moveBytes   = 4 << 20
)

// prepare migrates a file to the present format and returns its index. After an
// interruption it can be called again, because each record shows its own format.
func prepare(path string, file *boltFile) (index uint64, err error) {
	err = guard(path, func() error {
		from, err := file.findLegacy([]byte{})
		if err == nil && from != nil {
			err = file.backUp(path)
		}
		if err == nil {
			err = file.makeBuckets()
		}
		for err == nil && from != nil {
			if from, err = file.move(from, time.Now()); err == nil && from != nil {
				from, err = file.findLegacy(from)
			}
		}
		if err != nil {
			return err
		}
		return file.View(func(tx *bbolt.Tx) error {
			if index = tx.Bucket(pairsBucket).Sequence(); index > maxIndex {
				return corrupt(path, fmt.Errorf("index %d is not possible", index))
			}
			return nil
		})
	})
	if err != nil && !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("open %s: %w", path, err)
	}
	return index, err
}

// checkVersion checks the version of a file. Files of earlier releases have none.
func checkVersion(tx *bbolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return nil
	}
	version := meta.Get(formatKey)
	if len(version) != 4 {
		return corrupt(tx.DB().Path(), errors.New("its format is unreadable"))
	}
	if v := binary.BigEndian.Uint32(version); v != formatVersion {
		return fmt.Errorf("it has the format %d, which this release does not know (it knows %d)", v, formatVersion)
	}
	return nil
}

// makeBuckets creates the missing buckets.
func (f *boltFile) makeBuckets() error {
	ready := false
	err := f.View(func(tx *bbolt.Tx) error {
		ready = tx.Bucket(metaBucket) != nil && tx.Bucket(pairsBucket) != nil && tx.Bucket(expiriesBucket) != nil
		return nil
	})
	if err != nil || ready {
		return err
	}
	return f.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{pairsBucket, expiriesBucket, metaBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return corrupt(tx.DB().Path(), fmt.Errorf("bucket %s: %w", name, err))
			}
		}
		return tx.Bucket(metaBucket).Put(formatKey, binary.BigEndian.AppendUint32(nil, formatVersion))
	})
}

// findLegacy returns the first key, not before from, with a record of an earlier release,
// or nil. It checks the version, and the records that it passes.
func (f *boltFile) findLegacy(from []byte) (legacy []byte, err error) {
	err = f.View(func(tx *bbolt.Tx) error {
		if err := checkVersion(tx); err != nil {
			return err
		}
		pairs := tx.Bucket(pairsBucket)
		if pairs == nil {
			return nil
		}
		c := pairs.Cursor()
		for key, encoded := c.Seek(from); key != nil; key, encoded = c.Next() {
			if isLegacy(encoded) {
				legacy = bytes.Clone(key)
				return nil
			}
			if err := checkRecord(encoded, pairs.Sequence()); err != nil {
				return unreadable(tx.DB().Path(), key, err)
			}
		}
		return nil
	})
	return legacy, err
}

// checkRecord returns an error if a record of the present format is not valid in a file
// with that index.
func checkRecord(encoded []byte, index uint64) error {
	r, err := decodeRecord(encoded)
	if err == nil && (r.Created == 0 || r.Created > r.Modified || r.Modified > index) {
		err = fmt.Errorf("indexes %d and %d are not possible", r.Created, r.Modified)
	}
	return err
}

func isLegacy(encoded []byte) bool { return len(encoded) > 0 && encoded[0] == '{' }

// legacyRecord is a record of an earlier release: a pair in JSON. Its Key may be shorter
// than the key that it is stored at.
type legacyRecord struct {
	Key                                    *string
	Value                                  []byte
	TTL                                    int64 // in seconds
	KVDBIndex, CreatedIndex, ModifiedIndex uint64
}

// move migrates the records of an earlier release that follow each other from the key
// from on, within the bounds of one transaction. It returns the next key, nil at the end.
func (f *boltFile) move(from []byte, now time.Time) (next []byte, err error) {
	err = f.Update(func(tx *bbolt.Tx) error {
		pairs, expiries := tx.Bucket(pairsBucket), tx.Bucket(expiriesBucket)
		index := pairs.Sequence()
		var keys [][]byte
		var records []*tree.Record
		size := 0
		c := pairs.Cursor()
		key, encoded := c.Seek(from)
		for ; isLegacy(encoded) && len(keys) < moveRecords && size < moveBytes; key, encoded = c.Next() {
			r, highest, err := decodeLegacy(encoded, now)
			if err != nil {
				return unreadable(tx.DB().Path(), key, err)
			}
			index = max(index, highest)
			keys, records = append(keys, key), append(records, r)
			size += len(encoded)
		}
		next = bytes.Clone(key)
		for i, r := range records {
			if r.Expires != 0 {
				for expiries.Get(expiryKey(r)) != nil { // two records have the same indexes
					r.Expires++
				}
				if err := expiries.Put(expiryKey(r), keys[i]); err != nil {
					return err
				}
			}
			if err := pairs.Put(keys[i], encodeRecord(r, r.Value)); err != nil {
				return err
			}
		}
		return pairs.SetSequence(index)
	})
	return next, err
}

// decodeLegacy returns the record of a legacyRecord, and the largest index in it.
func decodeLegacy(encoded []byte, now time.Time) (r *tree.Record, index uint64, err error) {
	var legacy legacyRecord
	if err := json.Unmarshal(encoded, &legacy); err != nil {
		return nil, 0, err
	}
	if legacy.Key == nil {
		return nil, 0, errors.New("record has no Key")
	}
	r = &tree.Record{
		Value:    legacy.Value,
		Modified: max(legacy.ModifiedIndex, legacy.CreatedIndex, 1),
		Created:  legacy.CreatedIndex,
	}
	if r.Created == 0 {
		r.Created = r.Modified
	}
	if legacy.TTL > 0 {
		ttl := min(legacy.TTL, int64(maxTTL/time.Second))
		r.Expires = now.Add(time.Duration(ttl) * time.Second).UnixNano()
	}
	if index = max(r.Modified, legacy.KVDBIndex); index > maxIndex {
		return nil, 0, fmt.Errorf("index %d is not possible", index)
	}
	return r, index, nil
}
