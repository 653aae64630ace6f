package pages

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const (
	root = "../../.."
	// maxColumns bounds all lines except those of tables and generated parts.
	maxColumns     = 100
	maxCell        = 120
	maxReadmeLines = 150
	// benchmarks is a page that is generated completely.
	benchmarks = "BENCHMARKS.md"
)

// page is a Markdown file.
type page struct {
	path     string // from the root, with slashes
	lines    []line
	anchors  map[string]bool
	snippets []snippet // of Go code
}

type line struct {
	number                 int
	text                   string
	code, table, generated bool
}

// snippet is the content of a block of Go code, and the number of the line before it.
type snippet struct {
	line int
	code string
	// output is the content of the next block, if that has the language text: what the
	// program prints.
	output string
}

var (
	headingPattern = regexp.MustCompile("^#{1,6} (.*)")
	codePattern    = regexp.MustCompile("`[^`]*`")
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	schemePattern  = regexp.MustCompile(`^[a-z]+:`)
)

// readPages returns all pages of the repository by their paths.
func readPages(t *testing.T) map[string]*page {
	pages := map[string]*page{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(name, "."):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".md"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		pages[relative] = parse(relative, string(text))
		return nil
	}))
	return pages
}

func parse(path, text string) *page {
	p := &page{path: path, anchors: map[string]bool{}}
	language, generated := "", path == benchmarks
	inCode := false
	for i, text := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if fence, ok := strings.CutPrefix(text, "```"); ok {
			if inCode = !inCode; inCode {
				afterGo := language == "go"
				if language = fence; language == "go" {
					p.snippets = append(p.snippets, snippet{line: i + 1})
				} else if language == "text" && !afterGo {
					language = ""
				}
			}
		} else if inCode && language == "go" {
			p.snippets[len(p.snippets)-1].code += text + "\n"
		} else if inCode && language == "text" {
			p.snippets[len(p.snippets)-1].output += text + "\n"
		}
		if strings.HasSuffix(text, ":begin -->") {
			generated = true
		}
		p.lines = append(p.lines, line{i + 1, text, inCode || strings.HasPrefix(text, "```"), !inCode && strings.HasPrefix(text, "|"), generated})
		if strings.HasSuffix(text, ":end -->") {
			generated = false
		}
		if heading := headingPattern.FindStringSubmatch(text); heading != nil && !inCode {
			p.anchors[anchor(heading[1])] = true
		}
	}
	return p
}

// anchor returns the fragment that leads to a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func TestReplace(t *testing.T) {
	const begin, end = "<!-- x:begin -->\n", "<!-- x:end -->\n"
	replaced, err := Replace("a\n"+begin+"old\n"+end+"b\n", "x", "new\n")
	require.NoError(t, err)
	require.Equal(t, "a\n"+begin+"new\n"+end+"b\n", replaced)
	for _, text := range []string{"", "a\n" + begin, "a\n" + end, end + begin} {
		_, err := Replace(text, "x", "new\n")
		require.Error(t, err, text)
	}
}

func TestAnchor(t *testing.T) {
	require.Equal(t, "unlock-and-close-in-an-outage", anchor("Unlock and Close in an outage"))
	require.Equal(t, "after-errunknownoutcome", anchor("After `ErrUnknownOutcome`"))
	require.Equal(t, "1-an-engine-and", anchor("1. An engine, and"))
}

// Every relative link leads to a file or folder of the repository, and to an existing
// heading if it names one.
func TestLinks(t *testing.T) {
	pages := readPages(t)
	checked := 0
	for _, p := range pages {
		for _, l := range p.lines {
			if l.code {
				continue
			}
			for _, link := range linkPattern.FindAllStringSubmatch(codePattern.ReplaceAllString(l.text, ""), -1) {
				if schemePattern.MatchString(link[1]) {
					continue
				}
				checked++
				file, fragment, _ := strings.Cut(link[1], "#")
				target := p.path
				if file != "" {
					target = filepath.ToSlash(filepath.Join(filepath.Dir(p.path), filepath.FromSlash(file)))
				}
				if !filepath.IsLocal(target) {
					t.Errorf("%s:%d: link %q leads out of the repository", p.path, l.number, link[1])
					continue
				}
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s:%d: link %q: %v", p.path, l.number, link[1], err)
				}
				if fragment != "" && (pages[target] == nil || !pages[target].anchors[fragment]) {
					t.Errorf("%s:%d: link %q: %s has no such heading", p.path, l.number, link[1], target)
				}
			}
		}
	}
	require.Greater(t, checked, 50, "links found")
}

// Every page of docs can be reached from the README.
func TestPagesAreLinked(t *testing.T) {
	pages := readPages(t)
	reached := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if p := pages[path]; p != nil && !reached[path] {
			reached[path] = true
			for _, l := range p.lines {
				for _, link := range linkPattern.FindAllStringSubmatch(l.text, -1) {
					file, _, _ := strings.Cut(link[1], "#")
					visit(filepath.ToSlash(filepath.Join(filepath.Dir(path), filepath.FromSlash(file))))
				}
			}
		}
	}
	visit("README.md")
	for path := range pages {
		require.True(t, reached[path], path)
	}
}

// Pages are readable in a terminal of 100 columns.
func TestLines(t *testing.T) {
	pages := readPages(t)
	require.LessOrEqual(t, len(pages["README.md"].lines), maxReadmeLines, "lines of README.md")
	for _, p := range pages {
		for _, l := range p.lines {
			if l.table {
				for cell := range strings.SplitSeq(l.text, "|") {
					if width := utf8.RuneCountInString(strings.TrimSpace(cell)); width > maxCell {
						t.Errorf("%s:%d: a cell has %d characters, more than %d", p.path, l.number, width, maxCell)
					}
				}
				continue
			}
			if !l.code && strings.Count(l.text, "`")%2 != 0 {
				t.Errorf("%s:%d: a code span that does not end on its line", p.path, l.number)
			}
			columns := utf8.RuneCountInString(strings.ReplaceAll(l.text, "\t", "    "))
			if columns > maxColumns && !l.generated {
				t.Errorf("%s:%d: %d columns, more than %d", p.path, l.number, columns, maxColumns)
			}
		}
	}
}

// The page about errors has every error that the root package exports.
func TestErrorsAreDocumented(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "errors.go"))
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "docs", "errors.md"))
	require.NoError(t, err)
	names := regexp.MustCompile(`(?m)^\t(Err\w+) += `).FindAllSubmatch(source, -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.Contains(t, string(text), fmt.Sprintf("| `%s`", name[1]))
	}
}
