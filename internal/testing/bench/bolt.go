package main

import (
	"bytes"
	"errors"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
)

func boltSuites() []suite {
	return []suite{
		{"bolt, 1 k keys", func(e *env) ([]row, func() error, error) { return openBolt(e.dir, 1_000) }},
		{"bolt, 100 k keys", func(e *env) ([]row, func() error, error) { return openBolt(e.dir, 100_000) }},
		watchSuite("bolt, watches", newBolt),
	}
}

func newBolt(path string) (kvdb.Kvdb, error) {
	return kvdb.New(bolt.Name, "bench", nil, map[string]string{bolt.Path: path}, nil)
}

// rawBolt is the reference: bbolt with one bucket.
type rawBolt struct {
	*bbolt.DB
	writes chan write
}

type write struct {
	key  string
	done chan error
}

var bucket = []byte("pairs")

func openRawBolt(path string, d data) (*rawBolt, error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(bucket)
		if err != nil {
			return err
		}
		for _, key := range d.keys {
			if err := b.Put([]byte(key), value); err != nil {
				return err
			}
		}
		return nil
	})
	r := &rawBolt{db, make(chan write, 64)}
	go r.commitGroups()
	return r, err
}

func (r *rawBolt) get(key string) (v []byte, err error) {
	err = r.View(func(tx *bbolt.Tx) error {
		v = bytes.Clone(tx.Bucket(bucket).Get([]byte(key)))
		return nil
	})
	return v, err
}

func (r *rawBolt) put(keys ...string) error {
	return r.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		for _, key := range keys {
			if err := b.Put([]byte(key), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// commitGroups commits together the writes that arrive during a commit.
func (r *rawBolt) commitGroups() {
	for first := range r.writes {
		group := []write{first}
		for more := true; more; {
			select {
			case w := <-r.writes:
				group = append(group, w)
			default:
				more = false
			}
		}
		keys := make([]string, len(group))
		for i, w := range group {
			keys[i] = w.key
		}
		err := r.put(keys...)
		for _, w := range group {
			w.done <- err
		}
	}
}

func (r *rawBolt) putInGroup(key string) error {
	w := write{key, make(chan error, 1)}
	r.writes <- w
	return <-w.done
}

// scan returns copies of the pairs that have prefix.
func (r *rawBolt) scan(prefix string) (pairs []rawPair, err error) {
	err = r.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for k, v := c.Seek([]byte(prefix)); bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			pairs = append(pairs, rawPair{string(k), bytes.Clone(v)})
		}
		return nil
	})
	return pairs, err
}

func (r *rawBolt) names(dir string) (names []string, err error) {
	err = r.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for k, _ := c.Seek([]byte(dir)); bytes.HasPrefix(k, []byte(dir)); k, _ = c.Next() {
			names = append(names, string(k[len(dir):]))
		}
		return nil
	})
	return names, err
}

func openBolt(dir string, n int) ([]row, func() error, error) {
	d := newData(n)
	raw, err := openRawBolt(filepath.Join(dir, "raw.db"), d)
	if err != nil {
		return nil, nil, err
	}
	kv, err := newBolt(filepath.Join(dir, "kvdb.db"))
	if err != nil {
		return nil, nil, err
	}
	if err := fill(kv, d); err != nil {
		return nil, nil, err
	}
	put := func(i int) error { _, err := kv.Put(d.key(i), value, 0); return err }
	rows := []row{
		{"Get", "bbolt View and Get", "≤ 1.3",
			each(func(i int) error { _, err := raw.get(d.key(i)); return err }),
			each(func(i int) error { _, err := kv.Get(d.key(i)); return err })},
		{"Put", "bbolt Update and Put", "≤ 1.1",
			each(func(i int) error { return raw.put(d.key(i)) }), each(put)},
		{"Put, 64 goroutines", "group commit over bbolt", "≤ 1.3",
			parallel(64, func(i int) error { return raw.putInGroup(d.key(i)) }), parallel(64, put)},
		{"Enumerate 100", "a bbolt cursor and copies", "≤ 1.5",
			each(func(i int) error {
				pairs, err := raw.scan(d.dir(i) + "/")
				return errors.Join(err, wantLen(len(pairs)))
			}),
			each(enumerate(kv, d))},
		{"Keys of 100", "a bbolt cursor and copies", "≤ 1.5",
			each(func(i int) error {
				names, err := raw.names(d.dir(i) + "/")
				return errors.Join(err, wantLen(len(names)))
			}),
			each(keys(kv, d))},
	}
	return rows, func() error {
		close(raw.writes)
		return errors.Join(raw.Close(), kvdb.Close(kv))
	}, nil
}
