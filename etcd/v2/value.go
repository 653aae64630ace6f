package etcdv2

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/portworx/kvdb"
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

// checkSize returns an error for the value of a write that does not fit into a form,
// as encode returns it. The engine has checked what is too long as it is.
func checkSize(key, encoded string) error {
	const widest = 3 // bytes in a form for one byte of text
	if len(encoded) <= maxValue/widest {
		return nil
	}
	if n := len(url.QueryEscape(encoded)); n > maxValue {
		return fmt.Errorf("%w: key %q: the value takes %d bytes of a form, of which etcd reads %d", kvdb.ErrTooLarge, key, n, maxValue)
	}
	return nil
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
