package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// maxProblems bounds the problems that Check returns.
const maxProblems = 100

// Check returns what is wrong with the file at path, or nothing. Each problem wraps ErrCorrupt.
// Check reads the whole file, and never changes it: also not to migrate a file of an earlier
// release. It looks at the structure of the file, at each pair, and at whether pairs and their
// TTLs fit together. If the structure is damaged, Check returns the first problem, because the
// pairs cannot be read then. After 100 problems it stops.
//
// err is another error, for example that the file does not exist. If another process has the
// file open to write, Check waits 3 s for it, and err wraps kvdb.ErrNoConnection. The same
// holds if this process has it open.
func Check(path string) (problems []error, err error) {
	if path, err = resolve(path); err != nil {
		return nil, err
	}
	size, err := regular(path)
	if err != nil || size == 0 { // New makes a database of an empty file.
		return nil, err
	}
	file, err := openFile(path, bbolt.Options{Timeout: openTimeout, ReadOnly: true})
	if err == nil {
		p := &pairsChecker{path: path}
		// bbolt's own Tx.Check is not used: it runs on a goroutine of its own, so guard could
		// not turn a fault of the mapped file into an error, which would end the process.
		err = guard(path, func() error { return p.run(file) })
		problems = p.problems
		err = errors.Join(err, file.closeAfter(err))
	}
	if errors.Is(err, ErrCorrupt) {
		return append(problems, err), nil
	}
	return problems, err
}

// pairsChecker collects what is wrong with a file.
type pairsChecker struct {
	path     string
	problems []error
}

var errEnough = errors.New("there are many problems")

// add adds a problem. It returns an error if there are enough.
func (p *pairsChecker) add(format string, args ...any) error {
	p.problems = append(p.problems, corrupt(p.path, fmt.Errorf(format, args...)))
	if len(p.problems) >= maxProblems {
		return errEnough
	}
	return nil
}

// metas adds what is wrong with the headers of the two meta pages. Their content has a checksum,
// which bbolt verifies when it opens the file. It ignores the headers, and writes them anew.
func (p *pairsChecker) metas(file *boltFile) error {
	for id := range uint64(2) {
		header := make([]byte, pageHeader)
		if _, err := file.raw.ReadAt(header, int64(id)*int64(file.Info().PageSize)); err != nil {
			return err
		}
		if own, flags := number(header), parsePage(header).flags; own != id || flags != metaPage {
			if err := p.add("page %d, which is a meta page, says it is page %d of kind %#x", id, own, flags); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pairsChecker) run(file *boltFile) error {
	lost, err := checkPages(file)
	if err != nil {
		return err
	}
	if err = p.metas(file); err == nil && lost > 0 {
		err = p.add("%d pages are neither used nor free: Defragment frees them", lost)
	}
	if err == nil {
		err = file.View(p.content)
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// content checks what is in the buckets.
func (p *pairsChecker) content(tx *bbolt.Tx) error {
	if err := checkVersion(tx); err != nil {
		return err
	}
	pairs, expiries := tx.Bucket(pairsBucket), tx.Bucket(expiriesBucket)
	switch {
	case pairs == nil && tx.Bucket(metaBucket) == nil:
		return corrupt(p.path, errors.New("it is a database of another program: it has no pairs"))
	case pairs == nil:
		return corrupt(p.path, fmt.Errorf("bucket %s is missing", pairsBucket))
	case pairs.Sequence() > maxIndex:
		return corrupt(p.path, fmt.Errorf("index %d is not possible", pairs.Sequence()))
	}
	if err := p.records(pairs, expiries); err != nil || expiries == nil {
		return err
	}
	return p.entries(pairs, expiries)
}

// records checks all pairs. expiries is nil in a file of an earlier release.
func (p *pairsChecker) records(pairs, expiries *bbolt.Bucket) error {
	c := pairs.Cursor()
	for key, encoded := c.First(); key != nil; key, encoded = c.Next() {
		var err error
		switch {
		case encoded == nil:
			err = errors.New("it is a bucket")
		case isLegacy(encoded):
			_, _, err = decodeLegacy(encoded, time.Now())
		default:
			if err = checkRecord(encoded, pairs.Sequence()); err == nil {
				err = checkExpiry(key, encoded, expiries)
			}
		}
		if err != nil {
			if err = p.add("key %q: %w", key, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkExpiry returns an error if the record at key expires and has no entry for that.
func checkExpiry(key, encoded []byte, expiries *bbolt.Bucket) error {
	r, err := decodeRecord(encoded)
	if err != nil || r.Expires == 0 {
		return err
	}
	if expiries == nil || !bytes.Equal(expiries.Get(expiryKey(&r)), key) {
		return errors.New("it has a TTL, but it is not among the keys that expire")
	}
	return nil
}

// entries checks the keys that expire.
func (p *pairsChecker) entries(pairs, expiries *bbolt.Bucket) error {
	c := expiries.Cursor()
	for entry, key := c.First(); entry != nil; entry, key = c.Next() {
		_, err := expiryTime(entry)
		if err == nil {
			err = checkEntry(entry, key, pairs)
		}
		if err != nil {
			if err = p.add("expiry %x: %w", entry, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkEntry returns an error if the pair at key does not expire as entry says.
func checkEntry(entry, key []byte, pairs *bbolt.Bucket) error {
	r, err := decodeRecord(pairs.Get(key))
	if err != nil || r.Expires == 0 || !bytes.Equal(expiryKey(&r), entry) {
		return fmt.Errorf("there is no pair with key %q that expires then", key)
	}
	return nil
}
