package kvdb

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RegisterOptions declares the options that the backend or wrapper registered as name
// reads, in addition to those declared before. Without options it declares that there are
// none. [New] warns of options that are not declared, and [Open] can refuse them, so a
// package that calls [Register] or [RegisterWrapper] should call it too.
func RegisterOptions(name string, options ...string) {
	registryMu.Lock()
	defer registryMu.Unlock()
	known[name] = append(known[name], options...)
	if known[name] == nil {
		known[name] = []string{}
	}
}

// unknownOption is an option that no part of an instance reads. The parts are the backend
// and the wrappers around it.
type unknownOption struct {
	name  string
	parts []string
	// undeclared is a part that does not declare its options, so it may read the option.
	// It is "" if there is none.
	undeclared string
	// owners are other backends and wrappers that read the option.
	owners []string
	// nearest is the option of the parts with the most similar name.
	nearest string
}

// String says what is wrong with the option, and what would be right.
func (u unknownOption) String() string {
	switch {
	case u.undeclared != "":
		return fmt.Sprintf("option %q cannot be checked, because %s does not declare its options", u.name, u.undeclared)
	case len(u.owners) > 0:
		return fmt.Sprintf("option %q is an option of %s, not of %s",
			u.name, strings.Join(u.owners, ", "), strings.Join(u.parts, " or "))
	}
	return fmt.Sprintf("option %q is not known to %s; did you mean %q?", u.name, strings.Join(u.parts, " or "), u.nearest)
}

// unknownOptions returns the options that none of parts reads, sorted by name.
func unknownOptions(options map[string]string, parts []string) (unknown []unknownOption) {
	registryMu.RLock()
	defer registryMu.RUnlock()
	read, undeclared := []string{WrappersOption}, ""
	for _, part := range parts {
		declared, declares := known[part]
		if !declares {
			undeclared = cmp.Or(undeclared, part)
		}
		read = append(read, declared...)
	}
	slices.Sort(read)
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if slices.Contains(read, name) {
			continue
		}
		u := unknownOption{name: name, parts: parts, undeclared: undeclared, nearest: nearest(name, read)}
		for _, owner := range slices.Sorted(maps.Keys(known)) {
			if slices.Contains(known[owner], name) {
				u.owners = append(u.owners, owner)
			}
		}
		unknown = append(unknown, u)
	}
	return unknown
}

// nearest returns the name of names that is the most similar to name.
func nearest(name string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
}

// distance returns how many letters must be inserted, removed or replaced to make b of a.
// Case does not count.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1) // the distances from the beginning of a to each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
