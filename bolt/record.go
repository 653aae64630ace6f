package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/portworx/kvdb/internal/tree"
)

// A record is a value in the bucket of pairs:
//
//	byte 0       recordVersion
//	bytes 1-8    created index
//	bytes 9-16   modified index
//	bytes 17-24  expiry in ns of Unix time, 0 for none
//	the rest     value
//
// with little-endian numbers. A record of an earlier release is JSON, so no version may be
// '{'.
const (
	recordVersion = 1
	headerSize    = 25
	expiryKeySize = 16
)

// maxIndex is the largest index in a file. It is small enough that indexes do not
// overflow.
const maxIndex = math.MaxInt64 / 2

// encodeRecord encodes r with the value value. r.Value becomes a slice of the result.
func encodeRecord(r *tree.Record, value []byte) []byte {
	encoded := make([]byte, headerSize+len(value))
	encoded[0] = recordVersion
	binary.LittleEndian.PutUint64(encoded[1:], r.Created)
	binary.LittleEndian.PutUint64(encoded[9:], r.Modified)
	binary.LittleEndian.PutUint64(encoded[17:], uint64(r.Expires))
	r.Value = encoded[headerSize:]
	copy(r.Value, value)
	return encoded
}

// decodeRecord decodes a record. Its value is a slice of encoded.
func decodeRecord(encoded []byte) (tree.Record, error) {
	if len(encoded) < headerSize {
		return tree.Record{}, errors.New("record is cut off")
	}
	if encoded[0] != recordVersion {
		return tree.Record{}, fmt.Errorf("record has version %d", encoded[0])
	}
	return tree.Record{
		Created:  binary.LittleEndian.Uint64(encoded[1:]),
		Modified: binary.LittleEndian.Uint64(encoded[9:]),
		Expires:  int64(binary.LittleEndian.Uint64(encoded[17:])),
		Value:    encoded[headerSize:],
	}, nil
}

// expiryKey returns the key of a record with a TTL in the bucket of expiries, which is
// ordered by time. The modified index makes it unique. The value there is the key of the
// pair, so that the key may be as long as bbolt allows.
func expiryKey(r *tree.Record) []byte {
	key := make([]byte, 0, expiryKeySize)
	key = binary.BigEndian.AppendUint64(key, uint64(r.Expires))
	return binary.BigEndian.AppendUint64(key, r.Modified)
}

// expiryTime returns the time in a key that expiryKey made.
func expiryTime(entry []byte) (int64, error) {
	if len(entry) != expiryKeySize {
		return 0, fmt.Errorf("expiry %x has %d bytes", entry, len(entry))
	}
	return int64(binary.BigEndian.Uint64(entry)), nil
}
