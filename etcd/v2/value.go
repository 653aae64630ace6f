package etcdv2

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// encodedMark is what values begin with that are kept in base64: those that are
// not UTF-8, which the API cannot carry, and those that begin with it themselves.
const encodedMark = "\x00kvdb-base64:"

var encoding = base64.RawURLEncoding

// encode returns value as the API carries it.
func encode(value []byte) string {
	if text := string(value); utf8.ValidString(text) && !strings.HasPrefix(text, encodedMark) {
		return text
	}
	return encodedMark + encoding.EncodeToString(value)
}

// decode is the inverse of encode. What other programs have written is returned
// as it is.
func decode(text string) []byte {
	if rest, marked := strings.CutPrefix(text, encodedMark); marked {
		if value, err := encoding.DecodeString(rest); err == nil {
			return value
		}
	}
	return []byte(text)
}
