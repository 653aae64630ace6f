package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"
	"unicode/utf8"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/atomicfile"
	"github.com/portworx/kvdb/internal/digest"
	"github.com/portworx/kvdb/internal/reserved"
)

// Options are the options of [Write] and [Create]. The zero value means all pairs.
type Options struct {
	// Prefixes limit the backup to the keys that begin with one of them. They must be UTF-8.
	Prefixes []string
	// OneMoment makes it an error, which wraps kvdb.ErrModified, if the store changes before
	// its last page of pairs is read, so that the pairs are not those of one moment. On etcd
	// v3, bolt and mem, changes are no error while the pages can be read at one moment: with
	// one prefix, and on etcd v3 until that moment is compacted. On other stores a change
	// outside of the domain may count, too.
	OneMoment bool
	// Progress is called with what is written so far, when some of it is.
	Progress func(Progress)
}

// reportPairs is the number of pairs between two reports of progress.
const reportPairs = 1000

// Write writes a backup of kv, with hidden keys and TTLs, to w. Locks and the keys of package
// transfer are not in it. The pairs
// are read in pages and written at once, so memory does not depend on their number (apart from
// 100 bytes for each 8 MiB of them). On etcd v3, bolt and mem the pairs of a prefix are those of
// one moment, unless that moment is compacted meanwhile; on other stores each page is. See
// Options.OneMoment and End.LastIndex.
//
// After an error what was written is not a backup: it has no end, so it is refused.
func Write(ctx context.Context, w io.Writer, kv kvdb.Kvdb, o Options) (Info, error) {
	for _, prefix := range o.Prefixes {
		if !utf8.ValidString(prefix) {
			return Info{}, fmt.Errorf("%w: prefix %q is not UTF-8", kvdb.ErrIllegal, prefix)
		}
	}
	limits := kvdb.LimitsOf(kv)
	out := newWriter(w, Meta{
		Format: formatName, Version: version, Time: time.Now().UTC().Round(0), Backend: kv.String(), Domain: limits.Domain,
		Prefixes: merged(o.Prefixes), TTL: TTLsRemaining,
	})
	if limits.NoTTL {
		out.info.TTL = TTLsNone
	}
	began := time.Now()
	for pair, err := range pairsOf(ctx, kv, out.info.Prefixes) {
		if err == nil {
			err = out.add(pair, time.Since(began), o.OneMoment)
		}
		if err != nil {
			return Info{}, fmt.Errorf("back up %s: %w", out.info.Backend, err)
		}
		if o.Progress != nil && out.digest.Pairs()%reportPairs == 0 {
			o.Progress(Progress{Phase: PhaseWrite, Pairs: out.digest.Pairs(), Bytes: out.digest.Bytes()})
		}
	}
	if err := out.close(); err != nil {
		return Info{}, fmt.Errorf("back up %s: %w", out.info.Backend, err)
	}
	if o.Progress != nil {
		o.Progress(Progress{Phase: PhaseDone, Pairs: out.info.Pairs, Bytes: out.info.Bytes})
	}
	return out.info, nil
}

// pairsOf iterates over the pairs of kv that begin with one of the prefixes, in order, hidden
// keys included, and those of package transfer not.
func pairsOf(ctx context.Context, kv kvdb.Kvdb, prefixes []string) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		view := kvdb.WithContext(ctx, kv)
		for _, prefix := range prefixes {
			for pair, err := range kvdb.PairsWith(view, prefix, kvdb.PageOptions{Hidden: true, TTL: true}) {
				if err == nil && reserved.IsTransfer(pair.Key) {
					continue
				}
				if !yield(pair, err) || err != nil {
					return
				}
			}
		}
	}
}

// Create writes a backup of kv, as [Write] does, to the file at path, with mode 0600. It
// replaces a file that is there. The backup is written to a temporary file in the same folder,
// put on disk, read back and verified before it gets its name. After an error there is no new
// file, unless only the entry in the folder could not be made durable.
func Create(ctx context.Context, path string, kv kvdb.Kvdb, o Options) (info Info, err error) {
	err = atomicfile.Write(path, 0o600, func(file *os.File) error {
		if info, err = Write(ctx, file, kv, o); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		read, err := Verify(file)
		if err == nil && read.End != info.End {
			err = fmt.Errorf("%w: it reads as %+v, not %+v", ErrCorrupt, read.End, info.End)
		}
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

// writer writes a backup. It writes meta.json before the first lines, because that has the
// index of the first pair.
type writer struct {
	info   Info
	to     io.Writer
	sum    func() []byte
	gzip   *gzip.Writer
	tar    *tar.Writer
	sums   bytes.Buffer // what SHA256SUMS will be
	lines  bytes.Buffer // of the next file
	files  int          // with lines
	digest *digest.Hash
	last   string // the last key
}

func newWriter(w io.Writer, m Meta) *writer {
	h := sha256.New()
	out := &writer{info: Info{Meta: m}, to: w, sum: func() []byte { return h.Sum(nil) }, digest: digest.New()}
	out.gzip = gzip.NewWriter(io.MultiWriter(w, h))
	out.tar = tar.NewWriter(out.gzip)
	return out
}

// add adds a pair. after is the time since the backup began.
func (w *writer) add(pair *kvdb.KVPair, after time.Duration, oneMoment bool) error {
	first := w.digest.Pairs() == 0
	switch {
	case first:
		if hasPrefix(pair.Key, w.info.Prefixes[:1]) {
			w.info.Index = pair.KVDBIndex
		}
		if err := w.file(metaName, encodeJSON(w.info.Meta)); err != nil {
			return err
		}
	case pair.Key <= w.last:
		return fmt.Errorf("the store must list keys in order, and key %q follows key %q", pair.Key, w.last)
	}
	if oneMoment && !first && pair.KVDBIndex != w.info.LastIndex {
		return fmt.Errorf("%w: the pairs are not those of one moment: the index was %d, and %d at key %q",
			kvdb.ErrModified, w.info.LastIndex, pair.KVDBIndex, pair.Key)
	}
	w.last, w.info.LastIndex = pair.Key, pair.KVDBIndex
	ttl := pair.TTL
	if ttl > 0 { // from the beginning, so that all pairs have the same time
		ttl += int64(after / time.Second)
	}
	text := encodePair(pair, ttl)
	if len(text) > maxLine {
		return fmt.Errorf("%w: key %q takes %d bytes in a backup, and at most %d are possible", kvdb.ErrTooLarge, pair.Key, len(text), maxLine)
	}
	w.digest.Add(pair.Key, pair.Value)
	if w.lines.Len() > 0 && w.lines.Len()+len(text) > maxFile {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.lines.Write(text)
	return nil
}

// flush writes the lines to a file of their own.
func (w *writer) flush() error {
	w.files++
	err := w.file(dataName(w.files), w.lines.Bytes())
	w.lines.Reset()
	return err
}

// file adds a file to the archive.
func (w *writer) file(name string, content []byte) error {
	err := w.tar.WriteHeader(&tar.Header{
		Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: w.info.Time.Truncate(time.Second), Format: tar.FormatUSTAR,
	})
	if err == nil {
		_, err = w.tar.Write(content)
	}
	sum := sha256.Sum256(content)
	fmt.Fprintf(&w.sums, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	return err
}

// close writes what is left, and the end.
func (w *writer) close() error {
	if w.digest.Pairs() == 0 {
		if err := w.file(metaName, encodeJSON(w.info.Meta)); err != nil {
			return err
		}
	}
	if w.lines.Len() > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.info.Pairs, w.info.Bytes, w.info.Digest = w.digest.Pairs(), w.digest.Bytes(), w.digest.Sum()
	if err := w.file(endName, encodeJSON(w.info.End)); err != nil {
		return err
	}
	if err := w.file(sumsName, w.sums.Bytes()); err != nil {
		return err
	}
	if err := errors.Join(w.tar.Close(), w.gzip.Close()); err != nil {
		return err
	}
	_, err := w.to.Write(sealOf(w.sum()))
	return err
}
