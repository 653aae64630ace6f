package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portworx/kvdb"
)

const (
	formatName = "kvdb-backup"
	version    = 1

	metaName = "meta.json"
	endName  = "end.json"
	sumsName = "SHA256SUMS"

	// maxFile bounds a file with lines, unless it is a single line.
	maxFile = 8 << 20
	// maxLine bounds a line. It has room for the largest key and value of any store, which
	// are those of bolt: 64 MiB, a third more in base64.
	maxLine = 128 << 20
	// maxSums bounds SHA256SUMS. It is enough for a backup of 5 TiB.
	maxSums = 64 << 20
)

// ErrCorrupt is wrapped by the error for a backup that is damaged or cut off, or that is not a
// backup. The error says what is wrong.
var ErrCorrupt = errors.New("backup is corrupt")

// TTLs says what a backup knows about the TTLs of its pairs.
type TTLs string

const (
	// TTLsRemaining means that a pair has the time that it had left. (If it is from Consul,
	// this is the whole TTL.)
	TTLsRemaining TTLs = "remaining"
	// TTLsNone means that the store has no TTLs.
	TTLsNone TTLs = "none"
)

// Meta says where the pairs of a backup are from. It is the file meta.json.
type Meta struct {
	// Format is "kvdb-backup", and Version the version of the format.
	Format  string `json:"format"`
	Version int    `json:"version"`
	// Time is the time at which the backup began.
	Time time.Time `json:"time"`
	// Backend is the name of the store's backend, and Domain the domain of the instance.
	Backend string `json:"backend"`
	Domain  string `json:"domain"`
	// Prefixes are the prefixes of the keys, sorted, none of which begins with another. The
	// prefix "" is that of all keys.
	Prefixes []string `json:"prefixes"`
	// Index is the store's index when the first page of pairs was read, or 0 if no pair begins
	// with the first prefix.
	Index uint64 `json:"index"`
	TTL   TTLs   `json:"ttl"`
}

// End describes the pairs of a backup. It is the file end.json.
type End struct {
	// Pairs is the number of pairs, and Bytes the size of their keys and values.
	Pairs int   `json:"pairs"`
	Bytes int64 `json:"bytes"`
	// Digest is "sha256:" and, in hexadecimal, the SHA-256 over the pairs in the order of
	// their keys: for each the length of the key, the key, the length of the value, and the
	// value. A length has 8 bytes, the most significant first.
	Digest string `json:"digest"`
	// LastIndex is the store's index when the last page of pairs was read, or 0 without
	// pairs. If it is the Index of the Meta, all pairs are those of one moment.
	LastIndex uint64 `json:"lastIndex"`
}

// Info describes a backup.
type Info struct {
	Meta
	End
}

// line is a pair in a file with lines.
type line struct {
	Key      *string `json:"k,omitempty"`
	RawKey   []byte  `json:"kb,omitempty"` // instead of Key if it is not UTF-8
	Value    []byte  `json:"v"`
	Created  uint64  `json:"c"`
	Modified uint64  `json:"m"`
	TTL      int64   `json:"t,omitempty"`
}

// encodeJSON returns v and a newline. Unlike json.Marshal it leaves characters of HTML as
// they are, so that keys can be searched.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // does not fail for the types of this package
	return b.Bytes()
}

// encodePair returns the line of a pair, which expires in ttl seconds unless that is 0.
func encodePair(pair *kvdb.KVPair, ttl int64) []byte {
	l := line{Value: pair.Value, Created: pair.CreatedIndex, Modified: pair.ModifiedIndex, TTL: ttl}
	if l.Value == nil {
		l.Value = []byte{}
	}
	if utf8.ValidString(pair.Key) {
		l.Key = &pair.Key
	} else {
		l.RawKey = []byte(pair.Key)
	}
	return encodeJSON(l)
}

func decodePair(text []byte) (*kvdb.KVPair, error) {
	var l line
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, err
	}
	key := string(l.RawKey)
	if l.Key != nil {
		key = *l.Key
	}
	switch {
	case key == "" || l.Key != nil && l.RawKey != nil:
		return nil, errors.New(`it must have a key, either in "k" or in "kb"`)
	case l.Value == nil:
		return nil, fmt.Errorf("key %q has no value", key)
	case l.TTL < 0:
		return nil, fmt.Errorf("key %q: the TTL %d is negative", key, l.TTL)
	}
	return &kvdb.KVPair{
		Key: key, Value: l.Value, Action: kvdb.KVGet, TTL: l.TTL, CreatedIndex: l.Created, ModifiedIndex: l.Modified,
	}, nil
}

func decodeMeta(text []byte) (m Meta, err error) {
	var header struct { // all that other versions must have
		Format  string
		Version int
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return m, err
	}
	switch {
	case header.Format != formatName:
		return m, fmt.Errorf("the format is %q, not %q", header.Format, formatName)
	case header.Version != version:
		return m, fmt.Errorf("%w: the backup has version %d, and this release reads version %d", kvdb.ErrNotSupported, header.Version, version)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, err
	}
	if len(m.Prefixes) == 0 || !slices.Equal(m.Prefixes, merged(m.Prefixes)) {
		return m, fmt.Errorf("the prefixes %q are not sorted, or one begins with another", m.Prefixes)
	}
	return m, nil
}

// dataName returns the name of the n-th file with lines. The first one has the number 1.
func dataName(n int) string { return fmt.Sprintf("data/%06d.jsonl", n) }

// merged returns the prefixes sorted, without those that begin with another one. No prefixes
// mean all keys.
func merged(prefixes []string) []string {
	if len(prefixes) == 0 {
		return []string{""}
	}
	sorted := slices.Sorted(slices.Values(prefixes))
	kept := sorted[:1]
	for _, prefix := range sorted[1:] {
		if !strings.HasPrefix(prefix, kept[len(kept)-1]) {
			kept = append(kept, prefix)
		}
	}
	return kept
}

// hasPrefix reports whether key begins with one of the prefixes.
func hasPrefix(key string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}
