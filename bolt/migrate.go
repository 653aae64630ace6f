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

// formatVersion is that of the file, under formatKey in the bucket metaBucket: 4
// bytes, big-endian. A release refuses a file of a version it does not know.
const formatVersion = 1

var formatKey = []byte("format")

const (
	// moveRecords and moveBytes bound a transaction that moves records.
	moveRecords = 1000
	moveBytes   = 4 << 20
)

// prepare brings a file to the present format and returns its index. When it is
// interrupted it can be called again: each record says itself what it is.
func prepare(path string, file *boltFile) (index uint64, err error) {
	err = guard(path, func() error {
		from, err := file.findOther([]byte{})
		if err == nil && from != nil {
			err = file.backUp(path)
		}
		if err == nil {
			err = file.makeBuckets()
		}
		for err == nil && from != nil {
			if from, err = file.move(from, time.Now()); err == nil && from != nil {
				from, err = file.findOther(from)
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

// checkVersion checks the version of a file that has one.
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

// makeBuckets makes the buckets that are missing.
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

// findOther returns the first key, not before from, whose record is of another
// release; nil when there is none. It checks the version, and the records on the
// way.
func (f *boltFile) findOther(from []byte) (other []byte, err error) {
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
			if isOther(encoded) {
				other = bytes.Clone(key)
				return nil
			}
			if err := checkRecord(encoded, pairs.Sequence()); err != nil {
				return unreadable(tx.DB().Path(), key, err)
			}
		}
		return nil
	})
	return other, err
}

// checkRecord tells what is wrong with a record of this release in a file with
// an index.
func checkRecord(encoded []byte, index uint64) error {
	r, err := decodeRecord(encoded)
	if err == nil && (r.Created == 0 || r.Created > r.Modified || r.Modified > index) {
		err = fmt.Errorf("indexes %d and %d are not possible", r.Created, r.Modified)
	}
	return err
}

func isOther(encoded []byte) bool { return len(encoded) > 0 && encoded[0] == '{' }

// otherRecord is a record of another release: a pair in JSON, whose Key may be
// shorter than the one it is stored at.
type otherRecord struct {
	Key                                    *string
	Value                                  []byte
	TTL                                    int64 // in seconds
	KVDBIndex, CreatedIndex, ModifiedIndex uint64
}

// move brings records of another release to the present format, from the key
// from on, as long as they follow each other and one transaction has room. It
// returns where to go on, nil at the end.
func (f *boltFile) move(from []byte, now time.Time) (next []byte, err error) {
	err = f.Update(func(tx *bbolt.Tx) error {
		pairs, expiries := tx.Bucket(pairsBucket), tx.Bucket(expiriesBucket)
		index := pairs.Sequence()
		var keys [][]byte
		var records []*tree.Record
		size := 0
		c := pairs.Cursor()
		key, encoded := c.Seek(from)
		for ; isOther(encoded) && len(keys) < moveRecords && size < moveBytes; key, encoded = c.Next() {
			r, highest, err := decodeOther(encoded, now)
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
				for expiries.Get(expiryKey(r)) != nil { // two with the same indexes
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

// decodeOther returns the record, and the largest index in it.
func decodeOther(encoded []byte, now time.Time) (r *tree.Record, index uint64, err error) {
	var other otherRecord
	if err := json.Unmarshal(encoded, &other); err != nil {
		return nil, 0, err
	}
	if other.Key == nil {
		return nil, 0, errors.New("record has no Key")
	}
	r = &tree.Record{
		Value:    other.Value,
		Modified: max(other.ModifiedIndex, other.CreatedIndex, 1),
		Created:  other.CreatedIndex,
	}
	if r.Created == 0 {
		r.Created = r.Modified
	}
	if other.TTL > 0 {
		ttl := min(other.TTL, int64(maxTTL/time.Second))
		r.Expires = now.Add(time.Duration(ttl) * time.Second).UnixNano()
	}
	if index = max(r.Modified, other.KVDBIndex); index > maxIndex {
		return nil, 0, fmt.Errorf("index %d is not possible", index)
	}
	return r, index, nil
}
