package common

import (
	"encoding/json"
	"slices"
	"strings"
)

// ToBytes returns what is stored for value: a []byte as it is (not a copy), the
// bytes of a string, anything else as JSON.
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

// PrunePrefixes returns the prefixes, sorted, without those that another one
// covers.
func PrunePrefixes(prefixes []string) []string {
	sorted := slices.Sorted(slices.Values(prefixes))
	pruned := sorted[:0]
	for _, p := range sorted {
		// What covers p sorts before it, and so does all between the two.
		if len(pruned) == 0 || !strings.HasPrefix(p, pruned[len(pruned)-1]) {
			pruned = append(pruned, p)
		}
	}
	return pruned
}
