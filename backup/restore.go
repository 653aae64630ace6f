package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/portworx/kvdb"
)

// TTLMode says with which TTL a pair that expires is restored.
type TTLMode string

const (
	// TTLRemaining restores a pair with the time that it had left when the backup began. It
	// is the default.
	TTLRemaining TTLMode = "remaining"
	// TTLAbsolute restores a pair so that it expires when it would have expired in the store
	// that was backed up. A pair for which that time is over counts as not in the backup.
	TTLAbsolute TTLMode = "absolute"
	// TTLDrop restores pairs without a TTL.
	TTLDrop TTLMode = "drop"
)

// RestoreOptions are the options of [Restore]. With the zero value all pairs are restored, and
// it is an error if the store has one of the keys with another value.
type RestoreOptions struct {
	// Prefixes limit the restore to the keys that begin with one of them.
	Prefixes []string
	// TTL is the mode for TTLs. A TTL below the store's smallest becomes the smallest.
	TTL TTLMode
	// OnlyMissing restores only the keys that the store does not have, and leaves others as
	// they are. Overwrite replaces their values. Without one of the two, keys whose values
	// differ are an error that wraps kvdb.ErrExist, and nothing is written.
	OnlyMissing, Overwrite bool
	// Prune deletes the keys that the backup does not have, if they begin with one of its
	// prefixes and one of Prefixes.
	Prune bool
	// Skip leaves out the pairs that the store cannot hold. Otherwise they are an error that
	// wraps ErrIncompatible, and nothing is written. Where only the server knows how large a
	// value may be (kvdb.Limits.ServerDefaults), Skip takes its default, and otherwise the
	// server decides: the error of the write wraps kvdb.ErrTooLarge.
	Skip bool
	// DryRun writes nothing.
	DryRun bool
	// Progress is called when there is progress, one call at a time.
	Progress func(Progress)
}

// Restored says what [Restore] did or, with DryRun, would do.
type Restored struct {
	// Pairs is the number of pairs of the backup whose keys begin with one of the prefixes.
	// Each of them is one of those that the next fields count.
	Pairs int `json:"pairs"`
	// Created is the number of keys that the store did not have, Overwritten of those that it
	// had with another value, and Unchanged of those that it had with the same value. A pair
	// that expires and one that does not are different.
	Created     int `json:"created"`
	Overwritten int `json:"overwritten"`
	Unchanged   int `json:"unchanged"`
	// Kept is the number of keys with other values that OnlyMissing left as they are.
	Kept int `json:"kept"`
	// Skipped is the number of pairs that the store cannot hold, and Expired of those whose
	// time is over.
	Skipped int `json:"skipped"`
	Expired int `json:"expired"`
	// Deleted is the number of keys that Prune deleted, and Others, without Prune, of those
	// that it would delete.
	Deleted int `json:"deleted"`
	Others  int `json:"others"`
}

// Restore writes the pairs of a backup to kv. It reads the backup three times from its
// beginning: first to verify it and to see whether the store can hold the pairs, then to
// compare it with the store, and last to write what differs. Nothing is written if anything is
// wrong with the backup, nor from a file that has changed after it was verified.
//
// Pairs that the store has already are not written again, so a restore that was interrupted can be
// repeated: then with Overwrite, if it began with that. Indexes are not restored, because each
// store has its own. A restore is not atomic as a whole, and others should not write to the
// keys meanwhile, because their writes may be overwritten.
//
// After an error while it writes, Restored has what the pairs before the error asked for; some
// of them may not be written.
func Restore(ctx context.Context, kv kvdb.Kvdb, r io.ReadSeeker, o RestoreOptions) (Restored, error) {
	re := &restore{ctx: ctx, kv: kvdb.WithContext(ctx, kv), r: r, o: o, limits: kvdb.LimitsOf(kv)}
	switch o.TTL {
	case "":
		re.o.TTL = TTLRemaining
	case TTLRemaining, TTLAbsolute, TTLDrop:
	default:
		return Restored{}, fmt.Errorf("%w: TTL mode %q must be one of %s, %s and %s", kvdb.ErrIllegal, o.TTL, TTLRemaining, TTLAbsolute, TTLDrop)
	}
	if o.OnlyMissing && o.Overwrite {
		return Restored{}, fmt.Errorf("%w: OnlyMissing and Overwrite exclude each other", kvdb.ErrIllegal)
	}
	if err := re.verify(); err != nil {
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	restored, err := re.run()
	if err != nil {
		return restored, fmt.Errorf("restore: %w", err)
	}
	re.report(PhaseDone, re.info.Pairs, re.info.Bytes)
	return restored, nil
}

// restore is the state of a Restore.
type restore struct {
	ctx      context.Context
	kv       kvdb.Kvdb // bound to ctx
	r        io.ReadSeeker
	o        RestoreOptions
	limits   kvdb.Limits
	info     Info
	verified sums
	prefixes []string // those of the backup and of the options
}

// verify verifies the backup, and checks that the store can hold its pairs.
func (re *restore) verify() (err error) {
	var unfit problems
	p := re.newPlan()
	n, bytes := 0, int64(0)
	re.info, re.verified, err = readAgain(re.r, nil, handler{
		meta: func(m Meta) error {
			re.info.Meta = m
			re.prefixes = common(m.Prefixes, merged(re.o.Prefixes))
			return nil
		},
		pair: func(pair *kvdb.KVPair) error {
			n, bytes = n+1, bytes+size(pair)
			if n%reportPairs == 0 {
				re.report(PhaseVerify, n, bytes)
				if err := re.ctx.Err(); err != nil {
					return err
				}
			}
			if hasPrefix(pair.Key, re.prefixes) {
				if _, _, err := p.of(pair); err != nil {
					unfit.add(pair.Key, err)
				}
			}
			return nil
		},
	})
	if err == nil && unfit.count > 0 && !re.o.Skip {
		err = fmt.Errorf("%w: %s", ErrIncompatible, unfit.text())
	}
	return err
}

// run compares the backup with the store, and writes.
func (re *restore) run() (Restored, error) {
	var differ problems
	planned := &changes{restore: re, phase: PhaseCompare, differs: func(key string) {
		differ.add(key, errors.New("its value is another one"))
	}}
	for _, err := range planned.all() {
		if err != nil {
			return planned.restored, err
		}
	}
	if differ.count > 0 && !re.o.OnlyMissing && !re.o.Overwrite {
		return planned.restored, fmt.Errorf("%w: %s", kvdb.ErrExist, differ.text())
	}
	if re.o.DryRun {
		return planned.restored, nil
	}
	written := &changes{restore: re, phase: PhaseWrite, differs: func(string) {}}
	_, err := kvdb.PutMany(re.ctx, re.kv, written.all(), kvdb.ManyOptions{})
	return written.restored, err
}

func (re *restore) report(phase Phase, pairs int, bytes int64) {
	if re.o.Progress != nil {
		re.o.Progress(Progress{Phase: phase, Pairs: pairs, Bytes: bytes, Total: re.info.Pairs})
	}
}

func size(pair *kvdb.KVPair) int64 { return int64(len(pair.Key) + len(pair.Value)) }

// common returns the prefixes of the keys that begin with one of a and with one of b.
func common(a, b []string) []string {
	found := []string{}
	for _, x := range a {
		for _, y := range b {
			if strings.HasPrefix(x, y) {
				found = append(found, x)
			} else if strings.HasPrefix(y, x) {
				found = append(found, y)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// problems counts keys with which something is wrong.
type problems struct {
	count int
	first []string
}

const maxNamed = 5

func (p *problems) add(key string, err error) {
	if p.count++; p.count <= maxNamed {
		p.first = append(p.first, fmt.Sprintf("key %q: %v", key, err))
	}
}

func (p *problems) text() string {
	text := strings.Join(p.first, "; ")
	if more := p.count - len(p.first); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}
