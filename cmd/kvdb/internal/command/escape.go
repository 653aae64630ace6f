package command

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// escape returns text for a terminal. What is not printable becomes an escape sequence of Go,
// such as \n, \x00 or \u202e, and so a backslash is written as two.
func escape(text string) string { return escapeIf(text, true) }

// escapeControl is escape, but leaves backslashes alone, for messages.
func escapeControl(text string) string { return escapeIf(text, false) }

func escapeIf(text string, backslash bool) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == '\\' && backslash:
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += size
	}
	return b.String()
}

// escapeLines is escapeControl of each line of text, whose newlines and tabs stay.
func escapeLines(text string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		for j, part := range strings.Split(line, "\t") {
			if j > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(escapeControl(part))
		}
	}
	return b.String()
}

// width returns the number of columns of text on a terminal.
func width(text string) int { return runewidth.StringWidth(text) }

// cut returns text in at most columns columns. If something is cut off, it ends in an ellipsis.
func cut(text string, columns int) string { return runewidth.Truncate(text, columns, "…") }

// The colours of a terminal.
const (
	bold = "1"
	red  = "31"
	blue = "34"
)

// paint returns text in a colour if it is for a terminal that may have colours.
func (e *Env) paint(terminal bool, colour, text string) string {
	if !e.colours(terminal) {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// byteSize returns a number of bytes for people, such as 1.5 MiB.
func byteSize(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= 999.95 && prefix < 5 {
		value, prefix = value/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[prefix])
}
