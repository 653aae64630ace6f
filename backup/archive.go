package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/digest"
)

// sums are the SHA-256 of the files in a backup, in their order.
type sums [][sha256.Size]byte

// archive reads a backup from its beginning to its end.
type archive struct {
	source *source
	gzip   *gzip.Reader
	tar    *tar.Reader
	// verified has, if it is not nil, the sums that an earlier reading of the whole backup
	// found. A file with another sum is refused before it is decoded.
	verified sums
	sums     sums
	listing  bytes.Buffer // what SHA256SUMS must be
	file     bytes.Buffer // the content of the present file
	name     string       // the present file
}

// handler gets what is in a backup. An error of its functions ends the reading.
type handler struct {
	meta func(Meta) error         // may be nil
	pair func(*kvdb.KVPair) error // nil: lines are not decoded
}

// read reads a backup and checks it. What the handler gets before read returns nil is checked
// only if there are sums of an earlier reading. After an error, Info has what was read.
func read(r io.Reader, verified sums, h handler) (Info, sums, error) {
	a := &archive{source: newSource(r), verified: verified}
	info, err := a.read(h)
	return info, a.sums, a.explain(err)
}

// stopped is an error of a handler.
type stopped struct{ error }

// explain returns the error of read for an error of its parts.
func (a *archive) explain(err error) error {
	var stop stopped
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stop):
		return stop.error
	case a.source.err != nil:
		return fmt.Errorf("read the backup: %w", a.source.err)
	case errors.Is(err, kvdb.ErrNotSupported):
		return err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it is cut off")
	case errors.Is(err, gzip.ErrHeader) && a.name == "":
		err = errors.New("it is not a gzip file")
	}
	if a.name == "" {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("%w: at or after the file %s: %w", ErrCorrupt, a.name, err)
}

func (a *archive) read(h handler) (info Info, err error) {
	if a.gzip, err = gzip.NewReader(a.source); err != nil {
		return info, err
	}
	a.gzip.Multistream(false)
	a.tar = tar.NewReader(a.gzip)
	if info.Meta, err = a.readMeta(); err != nil {
		return info, err
	}
	if h.meta != nil {
		if err := h.meta(info.Meta); err != nil {
			return info, stopped{err}
		}
	}
	d, err := a.readData(info.Prefixes, h.pair)
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(a.file.Bytes(), &info.End); err != nil {
		return info, err
	}
	if h.pair != nil {
		if read := (End{Pairs: d.Pairs(), Bytes: d.Bytes(), Digest: d.Sum(), LastIndex: info.LastIndex}); read != info.End {
			return info, fmt.Errorf("the pairs are not those that it describes: %+v, not %+v", read, info.End)
		}
	}
	return info, a.readEnd()
}

func (a *archive) readMeta() (Meta, error) {
	if err := a.next(maxFile); err != nil {
		return Meta{}, err
	}
	if a.name != metaName {
		return Meta{}, fmt.Errorf("the first file must be %s", metaName)
	}
	return decodeMeta(a.file.Bytes())
}

// readData reads the files with lines, and end.json, which becomes the present file.
func (a *archive) readData(prefixes []string, visit func(*kvdb.KVPair) error) (*digest.Hash, error) {
	l := &lineReader{prefixes: prefixes, visit: visit, digest: digest.New()}
	for n := 1; ; n++ {
		if err := a.next(maxLine); err != nil {
			return nil, err
		}
		switch a.name {
		case endName:
			return l.digest, nil
		case dataName(n):
			if err := l.read(a.file.Bytes()); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("its name must be %s or %s", dataName(n), endName)
		}
	}
}

// lineReader reads the files with lines one after the other.
type lineReader struct {
	prefixes []string                 // the keys begin with one of them
	visit    func(*kvdb.KVPair) error // nil: lines are not decoded
	digest   *digest.Hash
	last     string // the key before
}

func (l *lineReader) read(file []byte) error {
	if len(file) == 0 {
		return errors.New("it is empty")
	}
	if l.visit == nil {
		return nil
	}
	n := 0
	for text := range bytes.Lines(file) {
		n++
		if len(file) > maxFile && len(text) < len(file) {
			return fmt.Errorf("it has %d bytes, and a file of several lines at most %d", len(file), maxFile)
		}
		pair, err := decodePair(text)
		if err == nil {
			err = inOrder(pair.Key, l.last, l.prefixes)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		l.last = pair.Key
		l.digest.Add(pair.Key, pair.Value)
		if err := l.visit(pair); err != nil {
			return stopped{err}
		}
	}
	if file[len(file)-1] != '\n' {
		return errors.New("its last line has no newline")
	}
	return nil
}

func inOrder(key, last string, prefixes []string) error {
	switch {
	case key <= last:
		return fmt.Errorf("key %q must not follow key %q", key, last)
	case !hasPrefix(key, prefixes):
		return fmt.Errorf("key %q does not begin with one of the prefixes %q", key, prefixes)
	}
	return nil
}

// readEnd reads what follows end.json.
func (a *archive) readEnd() error {
	want := bytes.Clone(a.listing.Bytes())
	if err := a.next(maxSums); err != nil {
		return err
	}
	if a.name != sumsName || !bytes.Equal(a.file.Bytes(), want) {
		return fmt.Errorf("%s must have the SHA-256 of all files before", sumsName)
	}
	if _, err := a.tar.Next(); err == nil {
		return errors.New("another file follows")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	// This reads gzip's checksum, too.
	if n, err := a.gzip.Read(make([]byte, 1)); n > 0 {
		return errors.New("there are bytes behind the archive")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return a.source.checkSeal()
}

// next reads the next file, of at most limit bytes, into memory.
func (a *archive) next(limit int64) error {
	header, err := a.tar.Next()
	if err != nil {
		return err
	}
	a.name = header.Name
	switch {
	case header.Typeflag != tar.TypeReg:
		return errors.New("it is not a regular file")
	case header.Size > limit:
		return fmt.Errorf("it has %d bytes, and at most %d are possible", header.Size, limit)
	}
	a.file.Reset()
	if _, err := a.file.ReadFrom(io.LimitReader(a.tar, limit)); err != nil {
		return err
	}
	sum := sha256.Sum256(a.file.Bytes())
	if n := len(a.sums); a.verified != nil && (n >= len(a.verified) || a.verified[n] != sum) {
		return errors.New("it has changed since the backup was verified")
	}
	if a.listing.Len() > maxSums {
		return errors.New("there are too many files")
	}
	a.sums = append(a.sums, sum)
	fmt.Fprintf(&a.listing, "%s  %s\n", hex.EncodeToString(sum[:]), a.name)
	return nil
}
