package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/digest"
)

// A backup that was cut off anywhere, or of which any bit was changed, is refused, with what is
// wrong with it.
func TestDamage(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	kv := openMem(t)
	fill(t, kv, "dir", 100)
	put(t, kv, "zeros", strings.Repeat("\x00", 1_000), 0)
	backup, _ := backUp(t, kv, Options{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d bytes", seed, len(backup))
	random := rand.New(rand.NewPCG(seed, 0))
	refused := func(what string, damaged []byte) {
		t.Helper()
		for _, read := range []func(io.Reader) (Info, error){Verify, Inspect} {
			_, err := read(bytes.NewReader(damaged))
			require.True(t, errors.Is(err, ErrCorrupt) || errors.Is(err, kvdb.ErrNotSupported), "%s: %v", what, err)
			require.Greater(t, len(err.Error()), len(ErrCorrupt.Error())+5)
		}
		for _, err := range Pairs(bytes.NewReader(damaged)) {
			require.Error(t, err, what)
		}
	}
	for range rounds {
		at := random.IntN(len(backup))
		refused(fmt.Sprint("cut at ", at), backup[:at])
		damaged := bytes.Clone(backup)
		bit := random.IntN(8 * len(backup))
		damaged[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprint("bit ", bit), damaged)
	}
	for at := len(backup) - 100; at < len(backup); at++ { // the end of the archive, and the seal
		refused(fmt.Sprint("cut at ", at), backup[:at])
		for bit := range 8 {
			damaged := bytes.Clone(backup)
			damaged[at] ^= 1 << bit
			refused(fmt.Sprint("bit ", 8*at+bit), damaged)
		}
	}
	refused("more", append(bytes.Clone(backup), 0))
	refused("twice", append(bytes.Clone(backup), backup...))
}

// file is a file of an archive that a test makes.
type file struct {
	name, content string
	kind          byte // 0 for a regular file
}

const (
	someMeta = `{"format":"kvdb-backup","version":1,"prefixes":[""]}`
	someLine = `{"k":"a","v":"eA==","c":1,"m":1}` + "\n"
)

// listing is the name of a file that gets the sums of the files before.
const listing = "listing"

// pack makes a backup of the files, with a valid seal. after is written behind the archive.
func pack(t testing.TB, after string, files ...file) []byte {
	t.Helper()
	var b, sums bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		if f.name == listing {
			f.name, f.content = sumsName, sums.String()
		}
		sum := sha256.Sum256([]byte(f.content))
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), f.name)
		require.NoError(t, w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.content)), Mode: 0o600, Typeflag: f.kind}))
		_, err := w.Write([]byte(f.content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	_, err := z.Write([]byte(after))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	sum := sha256.Sum256(b.Bytes())
	b.Write(sealOf(sum[:]))
	return b.Bytes()
}

// endOf returns the end.json of a backup with those lines.
func endOf(lines string) string {
	l := &lineReader{prefixes: []string{""}, visit: func(*kvdb.KVPair) error { return nil }, digest: digest.New()}
	if err := l.read([]byte(lines)); err != nil {
		return `{}`
	}
	return string(encodeJSON(End{Pairs: l.digest.Pairs(), Bytes: l.digest.Bytes(), Digest: l.digest.Sum()}))
}

// What a program that makes backups could do wrong is refused, also if all checksums are right.
func TestWrongContent(t *testing.T) {
	withLines := func(lines string) []byte {
		return pack(t, "", file{name: metaName, content: someMeta}, file{name: dataName(1), content: lines},
			file{name: endName, content: endOf(lines)}, file{name: listing})
	}
	withMeta := func(meta string) []byte {
		return pack(t, "", file{name: metaName, content: meta}, file{name: endName, content: "{}"}, file{name: listing})
	}
	meta, data, end, sums := file{name: metaName, content: someMeta}, file{name: dataName(1), content: someLine},
		file{name: endName, content: endOf(someLine)}, file{name: listing}
	_, err := Verify(bytes.NewReader(pack(t, "", meta, data, end, sums)))
	require.NoError(t, err, "the valid case")
	for message, backup := range map[string][]byte{
		"the first file must be":            pack(t, "", data, end, sums),
		"its name must be":                  pack(t, "", meta, file{name: dataName(2), content: someLine}, end, sums),
		"at most 134217728 are possible":    pack(t, "", meta, file{name: dataName(1), content: strings.Repeat(" ", maxLine+1)}),
		"not a regular file":                pack(t, "", file{name: metaName, kind: tar.TypeDir}, data),
		"it is empty":                       pack(t, "", meta, file{name: dataName(1)}, end, sums),
		"must have the SHA-256":             pack(t, "", meta, data, end, file{name: sumsName, content: "x"}),
		"another file follows":              pack(t, "", meta, data, end, sums, file{name: "more"}),
		"bytes behind the archive":          pack(t, "x", meta, data, end, sums),
		"the pairs are not those":           pack(t, "", meta, data, file{name: endName, content: "{}"}, sums),
		"at or after the file end.json":     pack(t, "", meta, data, file{name: endName, content: "x"}, sums),
		"it is cut off":                     pack(t, "", meta, data),
		`the format is "other"`:             withMeta(`{"format":"other","version":1,"prefixes":[""]}`),
		"are not sorted":                    withMeta(`{"format":"kvdb-backup","version":1,"prefixes":["b","a"]}`),
		"one begins with another":           withMeta(`{"format":"kvdb-backup","version":1,"prefixes":["a","ab"]}`),
		"the prefixes []":                   withMeta(`{"format":"kvdb-backup","version":1}`),
		"does not begin with one of":        pack(t, "", file{name: metaName, content: `{"format":"kvdb-backup","version":1,"prefixes":["b"]}`}, data, end, sums),
		"file meta.json: invalid character": withMeta("text"),
		"line 2: key \"a\" must not follow": withLines(someLine + someLine),
		"line 1: it must have a key":        withLines(`{"k":"a","kb":"YQ==","v":""}` + "\n"),
		"it must have a key, either":        withLines(`{"v":""}` + "\n"),
		`key "a" has no value`:              withLines(`{"k":"a"}` + "\n"),
		"is negative":                       withLines(`{"k":"a","v":"","t":-1}` + "\n"),
		"it is not UTF-8":                   withLines("{\"k\":\"\xff\",\"v\":\"\"}\n"),
		"its last line has no newline":      withLines(strings.TrimSpace(someLine)),
		"line 1: invalid character":         withLines("text\n"),
		"a file of several lines at most":   withLines(strings.Repeat("\n", maxFile+1)),
		"is not a gzip file":                []byte("just some text, and more of it"),
	} {
		_, err := Verify(bytes.NewReader(backup))
		require.ErrorIs(t, err, ErrCorrupt, message)
		require.ErrorContains(t, err, message)
	}
	_, err = Verify(bytes.NewReader(nil))
	require.ErrorContains(t, err, "cut off")
}

// A version that is not known is refused as such.
func TestUnknownVersion(t *testing.T) {
	backup := pack(t, "", file{name: metaName, content: `{"format":"kvdb-backup","version":2,"prefixes":[{}]}`})
	for _, read := range []func(io.Reader) (Info, error){Verify, Inspect} {
		_, err := read(bytes.NewReader(backup))
		require.ErrorIs(t, err, kvdb.ErrNotSupported)
		require.NotErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "version 2")
	}
}

// A bomb, which is small and unpacks to much, does not fill the memory.
func TestBomb(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range []file{{name: metaName, content: someMeta}, {name: dataName(1)}} {
		size := int64(len(f.content))
		if size == 0 {
			size = 4 << 30
		}
		require.NoError(t, w.WriteHeader(&tar.Header{Name: f.name, Size: size, Mode: 0o600}))
		_, err := w.Write([]byte(f.content))
		require.NoError(t, err)
	}
	_, err := z.Write(make([]byte, 64<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.Less(t, testing.AllocsPerRun(1, func() {
		_, err := Verify(bytes.NewReader(b.Bytes()))
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "at most")
	}), 1000.0)
}

// The error of the reader is no damage, and readers that return little at a time are read.
func TestReaders(t *testing.T) {
	kv := openMem(t)
	fill(t, kv, "dir", 100)
	backup, written := backUp(t, kv, Options{})
	for _, r := range []io.Reader{iotest.OneByteReader(bytes.NewReader(backup)), iotest.DataErrReader(bytes.NewReader(backup))} {
		info, err := Verify(r)
		require.NoError(t, err)
		require.Equal(t, written, info)
	}
	broken := errors.New("broken disk")
	_, err := Verify(io.MultiReader(bytes.NewReader(backup[:len(backup)/2]), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, ErrCorrupt)
	info, err := Inspect(bytes.NewReader(backup[:len(backup)/2]))
	require.ErrorIs(t, err, ErrCorrupt)
	require.Equal(t, written.Prefixes, info.Prefixes, "what could be read")
	for range Pairs(bytes.NewReader(backup)) {
		break
	}
}

// swapped is a file that changes before it is read for the at-th time.
type swapped struct {
	*bytes.Reader
	second    []byte
	at, seeks int
}

func (s *swapped) Seek(offset int64, whence int) (int64, error) {
	if s.seeks++; s.seeks == s.at {
		s.Reader = bytes.NewReader(s.second)
	}
	return s.Reader.Seek(offset, whence)
}

// No pair is yielded from a file that was changed after it was verified.
func TestChangedAfterVerification(t *testing.T) {
	kv := openMem(t)
	fill(t, kv, "dir", 100)
	first, _ := backUp(t, kv, Options{})
	put(t, kv, "dir/000050", "other", 0)
	second, _ := backUp(t, kv, Options{})
	for pair, err := range Pairs(&swapped{Reader: bytes.NewReader(first), second: second, at: 2}) {
		require.Nil(t, pair)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "has changed since")
	}
}
