package command

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portworx/kvdb"
)

// The formats of files with pairs, besides formatJSON and formatJSONL.
const (
	formatYAML   = "yaml"   // a mapping of keys to values
	formatConsul = "consul" // of "consul kv export"
)

var fileFormats = []string{formatJSONL, formatJSON, formatYAML, formatConsul}

// checkFormat returns an error if files have no such format. No format means that of the file.
func checkFormat(format string) error {
	if format != "" && !slices.Contains(fileFormats, format) {
		return usagef("--format %s: the formats are %s", format, strings.Join(fileFormats, ", "))
	}
	return nil
}

// parsePairs returns the pairs in a text. Without a format, it is that of the text.
func parsePairs(text []byte, format string) ([]*kvdb.KVPair, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8: export writes binary values in base64")
	}
	first := strings.TrimLeft(string(text[:min(len(text), 1000)]), " \t\r\n")
	if format == "" && (strings.HasPrefix(first, "{") || strings.HasPrefix(first, "[")) {
		format = formatJSON
	}
	switch format {
	case formatJSON, formatJSONL, formatConsul:
		return parseJSON(text, format == formatConsul)
	}
	return parseYAML(text)
}

// input is a pair in JSON: a record, or what Consul exports.
type input struct {
	record
	// Flags is there in Consul's format only, whose values are in base64.
	Flags *uint64 `json:"flags"`
	// Size is there in long lists of keys only, which have no values.
	Size *int `json:"size"`
}

// parseJSON returns the pairs in JSON objects and lists of them. All are of Consul's format if
// consul is true, and otherwise those with flags.
func parseJSON(text []byte, consul bool) (pairs []*kvdb.KVPair, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		before := decoder.InputOffset()
		var value json.RawMessage
		if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
			return pairs, nil
		} else if err != nil {
			return nil, fmt.Errorf("line %d: %w", lineAt(text, before), err)
		}
		var objects []json.RawMessage
		if value[0] != '[' {
			objects = append(objects, value)
		} else if err := json.Unmarshal(value, &objects); err != nil {
			return nil, err
		}
		for i, object := range objects {
			pair, err := parseObject(object, consul)
			if err != nil && value[0] == '[' {
				return nil, fmt.Errorf("element %d of the list at line %d: %w", i+1, lineAt(text, before), err)
			} else if err != nil {
				return nil, fmt.Errorf("line %d: %w", lineAt(text, before), err)
			}
			pairs = append(pairs, pair)
		}
	}
}

// lineAt returns the number of the line with the first value after an offset.
func lineAt(text []byte, offset int64) int {
	rest := text[offset:]
	offset += int64(len(rest) - len(bytes.TrimLeft(rest, " \t\r\n")))
	return 1 + bytes.Count(text[:offset], []byte("\n"))
}

// parseObject returns the pair of a JSON object.
func parseObject(text []byte, consul bool) (*kvdb.KVPair, error) {
	var in input
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return nil, fmt.Errorf("it is not a pair: %w", err)
	}
	if in.Value == nil {
		return nil, fmt.Errorf("key %q has no value", in.Key)
	}
	if consul || in.Flags != nil && in.Encoding == "" {
		in.Encoding = encodingBase64
	}
	key, err := decodeText(in.Key, in.KeyEncoding)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", in.Key, err)
	}
	value, err := decodeText(*in.Value, in.Encoding)
	if err != nil {
		return nil, fmt.Errorf("key %q: value: %w", in.Key, err)
	}
	return newPair(string(key), value, in.TTL)
}

// decodeText is the reverse of encodeText. No encoding means text.
func decodeText(encoded, encoding string) ([]byte, error) {
	switch encoding {
	case "", encodingText:
		return []byte(encoded), nil
	case encodingBase64:
		return base64.StdEncoding.DecodeString(encoded)
	}
	return nil, fmt.Errorf("the encoding %q is not known: use %s or %s", encoding, encodingText, encodingBase64)
}

// maxTTL is the largest TTL, in seconds, that a time.Duration can have.
const maxTTL = int64(math.MaxInt64 / time.Second)

// newPair returns a pair that is to be written.
func newPair(key string, value []byte, ttl int64) (*kvdb.KVPair, error) {
	switch {
	case key == "":
		return nil, errors.New("a pair has no key")
	case ttl < 0:
		return nil, fmt.Errorf("key %q: the TTL %d is negative", key, ttl)
	case ttl > maxTTL:
		return nil, fmt.Errorf("key %q: the TTL %d is too large", key, ttl)
	}
	return &kvdb.KVPair{Key: key, Value: value, TTL: ttl, Action: kvdb.KVSet}, nil
}
