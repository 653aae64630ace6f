package consul

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxKey keeps the URL of a read well below the megabyte that Consul takes.
const maxKey = 16 << 10

// checkKey folds runs of slashes, drops a leading one, and refuses what Consul's
// HTTP interface does not carry, because it removes components of dots from a path and
// a path must be printable.
func checkKey(key string) (string, error) {
	folded, err := checkPrefix(key)
	if err != nil {
		return "", err
	}
	if folded == "" {
		return "", errors.New("it has nothing but slashes")
	}
	if last := lastComponent(folded); isDots(last) {
		return "", fmt.Errorf("it has the component %q", last)
	}
	return folded, nil
}

// takes reports whether checkKey returns key itself. Other programs may have written
// other keys.
func takes(key string) bool {
	return key != "" && isPlain(key) && !isDots(lastComponent(key))
}

func lastComponent(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

func isDots(component string) bool { return component == "." || component == ".." }

// isPlain reports whether checkPrefix returns prefix itself.
func isPlain(prefix string) bool {
	component := 0 // where it begins
	for i, c := range prefix {
		switch {
		case c == '/':
			if i == component || isDots(prefix[component:i]) {
				return false
			}
			component = i + 1
		case c == utf8.RuneError || !unicode.IsPrint(c):
			return false
		}
	}
	return true
}

// checkPrefix is checkKey for the beginning of a key.
func checkPrefix(prefix string) (string, error) {
	if isPlain(prefix) {
		return prefix, nil
	}
	if !utf8.ValidString(prefix) {
		return "", errors.New("it is not UTF-8")
	}
	for _, c := range prefix {
		switch {
		case c == utf8.RuneError:
			return "", fmt.Errorf("it has %U, which Consul shows in place of what is not UTF-8", c)
		case !unicode.IsPrint(c):
			return "", fmt.Errorf("it has %U, which is not printable", c)
		}
	}
	components := strings.Split(prefix, "/")
	var folded strings.Builder
	for i, component := range components {
		last := i == len(components)-1
		if component == "" && !last {
			continue
		}
		if !last && isDots(component) {
			return "", fmt.Errorf("it has the component %q", component)
		}
		folded.WriteString(component)
		if !last {
			folded.WriteByte('/')
		}
	}
	return folded.String(), nil
}

// pathOf returns the prefix to ask Consul for when prefix is wanted. It is shorter when
// the last component of prefix is dots so far, because Consul would remove them from
// the path.
func pathOf(prefix string) string {
	if last := lastComponent(prefix); isDots(last) {
		return prefix[:len(prefix)-len(last)]
	}
	return prefix
}
