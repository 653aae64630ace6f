// Package pages writes the generated parts of the repository's pages. Its tests check the
// links, the lines and the Go code of all pages.
package pages

import (
	"fmt"
	"os"
	"strings"
)

// Write replaces the named part of a page, which is between the lines <!-- name:begin -->
// and <!-- name:end -->, by content.
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

// Replace returns text with its named part replaced by content.
func Replace(text, name, content string) (string, error) {
	begin, end := "<!-- "+name+":begin -->\n", "<!-- "+name+":end -->\n"
	before, rest, opened := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		return "", fmt.Errorf("has no lines %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + content + end + after, nil
}
