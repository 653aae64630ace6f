// Package pages writes the generated parts of the repository's pages. Its tests
// check all pages: their links, their lines, and the Go code in them.
package pages

import (
	"fmt"
	"os"
	"strings"
)

// Write replaces the part of a page with that name, which is between the lines
// <!-- name:begin --> and <!-- name:end -->, by content.
func Write(file, name, content string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	replaced, err := Replace(string(text), name, content)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(replaced), 0o644)
}

// Replace returns text with its part of that name replaced by content.
func Replace(text, name, content string) (string, error) {
	begin, end := "<!-- "+name+":begin -->\n", "<!-- "+name+":end -->\n"
	before, rest, opened := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		return "", fmt.Errorf("has no lines %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + content + end + after, nil
}
