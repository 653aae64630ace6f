package common

import (
	"encoding/json"
	"slices"
	"strings"
)

// ToBytes returns the encoding of value that is stored: a []byte itself (not a copy), the
// bytes of a string, and anything else as JSON.
func ToBytes(value interface{}) ([]byte, error) {
	switch v := value.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	default:
		return json.Marshal(value)
	}
}

// PrunePrefixes returns prefixes, sorted, without those that have another one of them as a
// prefix.
func PrunePrefixes(prefixes []string) []string {
	sorted := slices.Sorted(slices.Values(prefixes))
	pruned := sorted[:0]
	for _, p := range sorted {
		// A prefix of p sorts before p. All strings between the two have it as a prefix too,
		// so it is the last one in pruned.
		if len(pruned) == 0 || !strings.HasPrefix(p, pruned[len(pruned)-1]) {
			pruned = append(pruned, p)
		}
	}
	return pruned
}
