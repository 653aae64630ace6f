package backup

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/portworx/kvdb"
)

// Verify reads a whole backup and returns what it says about itself. If anything is wrong with
// it, the error wraps [ErrCorrupt]; if its version is not known, [kvdb.ErrNotSupported].
// Memory does not depend on the number of pairs, nor on what a damaged backup says.
func Verify(r io.Reader) (Info, error) {
	info, _, err := read(r, nil, handler{pair: func(*kvdb.KVPair) error { return nil }})
	return info, err
}

// Inspect is Verify without a look at each pair, so it is faster. It still finds every backup
// that was changed or cut off after it was written. After an error, Info has what could be
// read.
func Inspect(r io.Reader) (Info, error) {
	info, _, err := read(r, nil, handler{})
	return info, err
}

// Pairs iterates over the pairs of a backup in the order of their keys. It reads the backup
// twice from its beginning: no pair is yielded before all are verified, or if the file has
// changed since. TTL is the number of seconds from the Time of the [Meta] to the time at which
// the pair expires, and 0 if it does not. An error is the last thing that the iterator yields.
func Pairs(r io.ReadSeeker) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		_, verified, err := readAgain(r, nil, handler{pair: func(*kvdb.KVPair) error { return nil }})
		if err != nil {
			yield(nil, err)
			return
		}
		for pair, err := range verifiedPairs(r, verified) {
			if !yield(pair, err) {
				return
			}
		}
	}
}

// verifiedPairs is Pairs for a backup that was verified before, when it had the given sums.
func verifiedPairs(r io.ReadSeeker, verified sums) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		_, _, err := readAgain(r, verified, handler{pair: func(pair *kvdb.KVPair) error {
			if !yield(pair, nil) {
				return errBreak
			}
			return nil
		}})
		if err != nil && err != errBreak {
			yield(nil, err)
		}
	}
}

// errBreak ends a reading because a loop has ended.
var errBreak = errors.New("the loop has ended")

// readAgain is read from the beginning of a file.
func readAgain(r io.ReadSeeker, verified sums, h handler) (Info, sums, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Info{}, nil, fmt.Errorf("read the backup: %w", err)
	}
	return read(r, verified, h)
}
