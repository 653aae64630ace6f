package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

// sealOf returns the gzip member that ends a backup: an empty one whose header has sum, the
// SHA-256 of the bytes before. Its bytes are fixed, so that a reader finds each change.
func sealOf(sum []byte) []byte {
	var b bytes.Buffer
	b.Write([]byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff}) // deflate, with a field in the header, no time, any system
	b.Write([]byte{4 + sha256.Size, 0, 'K', 'V', sha256.Size, 0})
	b.Write(sum)
	b.Write([]byte{3, 0})    // deflate: an empty block
	b.Write(make([]byte, 8)) // checksum and length of nothing
	return b.Bytes()
}

// source is a buffered reader that computes the SHA-256 of the bytes that were taken from
// it. It has ReadByte, so gzip takes no byte behind the end of a member.
type source struct {
	r      io.Reader
	buffer []byte
	hashed []byte // taken from the buffer after the last call of hash.Write
	rest   []byte // not taken yet
	hash   hash.Hash
	err    error // the error of r, if it is not the end
}

func newSource(r io.Reader) *source {
	return &source{r: r, buffer: make([]byte, 64<<10), hash: sha256.New()}
}

// fill reads more if nothing is left in the buffer.
func (s *source) fill() error {
	for len(s.rest) == 0 {
		s.flush()
		n, err := s.r.Read(s.buffer)
		s.rest, s.hashed = s.buffer[:n], s.buffer[:0]
		if n > 0 {
			return nil
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.err = err
			}
			return err
		}
	}
	return nil
}

// flush hashes what was taken.
func (s *source) flush() {
	_, _ = s.hash.Write(s.hashed) // does not fail
	s.hashed = s.hashed[len(s.hashed):]
}

func (s *source) take(n int) {
	s.rest, s.hashed = s.rest[n:], s.hashed[:len(s.hashed)+n]
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if err := s.fill(); err != nil {
		return 0, err
	}
	n := copy(p, s.rest)
	s.take(n)
	return n, nil
}

// ReadByte implements io.ByteReader.
func (s *source) ReadByte() (byte, error) {
	if len(s.rest) == 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	b := s.rest[0]
	s.take(1)
	return b, nil
}

// checkSeal reads the seal and the end of the file.
func (s *source) checkSeal() error {
	s.flush()
	want := sealOf(s.hash.Sum(nil))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(s, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("the checksum at its end is not that of its bytes")
	}
	switch _, err := s.ReadByte(); {
	case err == nil:
		return errors.New("there are bytes behind its end")
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
