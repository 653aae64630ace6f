package command

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	binary     = "\x00\xff\x1b[31m"
	controlKey = "bad\n\x1b[2Jkey"
)

func TestFormats(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "text")
	sh.in(binary).ok("put", "b")
	sh.ok("put", controlKey, strings.Repeat("long ", 100))

	require.Equal(t, "text", sh.ok("get", "a"))
	require.Equal(t, binary, sh.ok("get", "b"))
	require.Equal(t, "text\n", sh.on(80).ok("get", "a"))
	require.Equal(t, `\x00\xff\x1b[31m`+"\n", sh.on(80).ok("get", "b"))
	require.Equal(t, binary, sh.on(80).ok("get", "-o", "raw", "b"))
	require.Equal(t, `{"key":"a","value":"text","encoding":"utf-8","created":1,"modified":1,"index":3,"ttl":0}`+"\n",
		sh.ok("get", "-o", "json", "a"))
	require.Equal(t, `{"key":"b","value":"AP8bWzMxbQ==","encoding":"base64","created":2,"modified":2,"index":3,"ttl":0}`+"\n",
		sh.ok("get", "-o", "jsonl", "b"))
	require.Equal(t, "[\n"+strings.TrimSpace(sh.ok("get", "-o", "json", "a"))+",\n"+strings.TrimSpace(sh.ok("get", "-o", "json", "b"))+"\n]\n",
		sh.ok("get", "-o", "json", "a", "b"))
	require.Equal(t, "text"+binary, sh.ok("get", "-o", "raw", "a", "b"))
	require.Equal(t, strings.TrimLeft(`
KEY              CREATED  MODIFIED  TTL  VALUE
a                      1         1    -  text
b                      2         2    -  \x00\xff\x1b[31m
bad\n\x1b[2Jkey        3         3    -  long long long long long long long lon…
`, "\n"), sh.ok("get", "a", "b", controlKey))
	require.Contains(t, sh.on(60).ok("get", "a", "b"), "\x1b[1mKEY")
	for line := range strings.Lines(sh.on(60).ok("get", "a", "b", controlKey)) {
		line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "\x1b[1m"), "\x1b[0m")
		require.LessOrEqual(t, width(line), 60, line)
	}
	sh.set("NO_COLOR", "1")
	require.NotContains(t, sh.on(60).ok("get", "a", "b"), "\x1b")

	// What was found is shown before the error.
	r := sh.run("get", "-o", "json", "a", "missing")
	require.Equal(t, exitNo, r.code)
	require.Contains(t, r.stdout, `"text"`)
	require.True(t, strings.HasSuffix(r.stdout, "\n]\n"), r.stdout)
}

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"plain ü 日": "plain ü 日", "a\\b": `a\\b`, "\t\r\n": `\t\r\n`, "\x7f\xc2\x85": `\x7f\u0085`,
		"\u202e\U000e0001": `\u202e\U000e0001`, "\xff": `\xff`, "\ufffd": "\ufffd",
	} {
		require.Equal(t, want, escape(text))
	}
	require.Equal(t, "a\tb\n\\x1b\\", escapeLines("a\tb\n\x1b\\"))
	require.Equal(t, "日…", cut("日本語", 4))
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 5 << 40: "5.0 TiB"} {
		require.Equal(t, want, byteSize(n))
	}
}

// A table of any length is written in parts whose columns only get wider.
func TestLongTable(t *testing.T) {
	var text strings.Builder
	a := &app{Env: Env{Stdout: &text}}
	out, err := a.newOutput()
	require.NoError(t, err)
	require.NoError(t, out.list([]column{{title: "N", right: true}}, func(yield func(row, error) bool) {
		for n := range 2*rowsAtOnce + 1 {
			if !yield(row{cells: []string{number(uint64(n) * 1000)}}, nil) {
				return
			}
		}
	}))
	require.NoError(t, out.flush())
	lines := strings.Split(text.String(), "\n")
	require.Len(t, lines, 2*rowsAtOnce+3)
	require.Equal(t, "     N", lines[0])
	require.Equal(t, "     0", lines[1])
	require.Equal(t, "2000000", lines[2*rowsAtOnce+1])
}

func TestConfirm(t *testing.T) {
	c := &change{verb: "delete"}
	for _, key := range []string{"a", "b\n", "c", "d", "e", "f"} {
		c.add(key)
	}
	require.Equal(t, `delete 6 keys: a, b\n, c, d, e, …`, c.String())
	require.Equal(t, "delete 1 key: a", (&change{verb: "delete", keys: 1, first: []string{"a"}}).String())
	require.Equal(t, "remove all", (&change{what: "remove all"}).String())

	var stderr strings.Builder
	s := &session{app: &app{Env: Env{Stderr: &stderr}}}
	s.target.context = "c"
	ask := func(f confirmation, typed string) (bool, error) {
		stderr.Reset()
		s.Stdin = strings.NewReader(typed)
		s.Terminal = Terminal{In: typed != "", Err: typed != ""}
		return s.confirm(t.Context(), &f, c)
	}
	for typed, want := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false, "y": true} {
		goOn, err := ask(confirmation{}, typed)
		require.Equal(t, want, goOn)
		require.Equal(t, want, err == nil)
		require.True(t, strings.HasPrefix(stderr.String(), `This will delete 6 keys: a, b\n, c, d, e, … in @c. Go on? [y/N] `))
	}
	goOn, err := ask(confirmation{yes: true}, "")
	require.NoError(t, err)
	require.True(t, goOn)
	goOn, err = ask(confirmation{dryRun: true, yes: true}, "")
	require.NoError(t, err)
	require.False(t, goOn)
	require.Contains(t, stderr.String(), "would delete 6 keys")
	_, err = ask(confirmation{}, "")
	require.ErrorContains(t, err, "add --yes to do it")
	c = &change{what: "remove all"}
	_, err = ask(confirmation{}, "")
	require.EqualError(t, err, "this would remove all: add --yes to do it, or --dry-run to see more", "it is no empty list of keys")
	require.ErrorContains(t, (&confirmation{}).checkPrefix(""), "add --all")
	require.NoError(t, (&confirmation{all: true}).checkPrefix(""))
}

func TestProgress(t *testing.T) {
	w := work{Phase: "copy", Keys: 100, Total: 300, Bytes: 2048, Dirty: 3}
	require.Equal(t, "copy · 100 of 300 keys · 2.0 KiB · 10 keys/s · 20s left · 3 changed", w.line(10*time.Second))
	for _, terminal := range []bool{true, false} {
		var stderr stream
		a := &app{Env: Env{Stderr: &stderr, Terminal: Terminal{Err: terminal, Width: 20}}}
		p := a.progressEvery(time.Millisecond)
		p.update(func(now *work) { *now = w })
		want := `{"phase":"copy","keys":100,"total":300,"bytes":2048,"dirty":3,"seconds":`
		if terminal {
			want = "\r\x1b[Kcopy · 100 of 300 …"
		}
		await(t, &stderr, want)
		p.end()
		text, _ := stderr.read()
		require.Equal(t, terminal, strings.HasSuffix(text, "\r\x1b[K"))
	}
}

// await waits until the stream has the text.
func await(t testing.TB, s *stream, want string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		text, more := s.read()
		if strings.Contains(text, want) {
			return text
		}
		select {
		case <-more:
		case <-deadline:
			require.FailNow(t, "output is missing", "%q in %q", want, text)
		}
	}
}
