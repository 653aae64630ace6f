package etcdv2

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/portworx/kvdb"
)

// encodedMark is the prefix of values that are stored in base64. These are the values
// that are not UTF-8, which the API cannot carry, and those that begin with encodedMark.
const encodedMark = "\x00kvdb-base64:"

var encoding = base64.RawURLEncoding

// encode returns the text that stores value.
func encode(value []byte) string {
	if text := string(value); utf8.ValidString(text) && !strings.HasPrefix(text, encodedMark) {
		return text
	}
	return encodedMark + encoding.EncodeToString(value)
}

// widest is the largest number of bytes that one byte of text takes in a form.
const widest = 3

// checkSize returns kvdb.ErrTooLarge if encoded does not fit into a form. The engine has
// checked the length of the value itself.
func checkSize(key, encoded string) error {
	if len(encoded) <= maxValue/widest {
		return nil
	}
	if n := len(url.QueryEscape(encoded)); n > maxValue {
		return fmt.Errorf("%w: key %q: the value takes %d bytes of a form, of which etcd reads %d", kvdb.ErrTooLarge, key, n, maxValue)
	}
	return nil
}

// decode is the inverse of encode. It returns other values, which other programs have
// written, unchanged.
func decode(text string) []byte {
	if rest, marked := strings.CutPrefix(text, encodedMark); marked {
		if value, err := encoding.DecodeString(rest); err == nil {
			return value
		}
	}
	return []byte(text)
}
