package pages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	// The packages that snippets import, so that a change of them invalidates the cached
	// result of the test.
	_ "github.com/portworx/kvdb/backup"
	_ "github.com/portworx/kvdb/bolt"
	_ "github.com/portworx/kvdb/cache"
	_ "github.com/portworx/kvdb/consul"
	_ "github.com/portworx/kvdb/election"
	_ "github.com/portworx/kvdb/etcd/v2"
	_ "github.com/portworx/kvdb/etcd/v3"
	_ "github.com/portworx/kvdb/mem"
	_ "github.com/portworx/kvdb/test"
	_ "github.com/portworx/kvdb/transfer"
	_ "github.com/portworx/kvdb/zookeeper"
)

// packages are the packages that a snippet without a package clause may use.
var packages = []string{
	"context", "errors", "fmt", "log", "net/http", "testing", "time",
	"github.com/portworx/kvdb", "github.com/portworx/kvdb/bolt", "github.com/portworx/kvdb/cache", "github.com/portworx/kvdb/election", "github.com/portworx/kvdb/mem",
	"github.com/portworx/kvdb/test", "github.com/portworx/kvdb/transfer",
}

// All Go code in the pages compiles in a separate module, as in a reader's program. A program
// whose output follows, in a block with the language text, prints that.
func TestSnippetsCompile(t *testing.T) {
	dir := t.TempDir()
	here, err := filepath.Abs(root)
	require.NoError(t, err)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	const module = "github.com/portworx/kvdb"
	write(t, filepath.Join(dir, "go.mod"), strings.Replace(string(mod), "module "+module, "module example.com/snippets", 1)+
		fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %s => %s\n", module, module, here))
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	write(t, filepath.Join(dir, "go.sum"), string(sum))

	n := 0
	prints := map[string]string{} // the folders of programs, and what they print
	for _, p := range readPages(t) {
		for _, s := range p.snippets {
			n++
			folder := filepath.Join(dir, strings.NewReplacer("/", "_", ".", "_").Replace(p.path)+fmt.Sprintf("_%d", s.line))
			require.NoError(t, os.Mkdir(folder, 0o755))
			if s.output != "" {
				prints[folder] = s.output
			}
			write(t, filepath.Join(folder, "snippet.go"), program(fmt.Sprintf("%s:%d", p.path, s.line+1), s.code))
		}
	}
	require.Greater(t, n, 10, "snippets found")
	// A snippet may end with a return, which makes the added return unreachable.
	goCommand(t, dir, "vet", "-mod=mod", "-unreachable=false", "./...")
	require.NotEmpty(t, prints)
	for folder, want := range prints {
		require.Equal(t, want, goCommand(t, dir, "run", "-mod=mod", folder), folder)
	}
}

// goCommand runs the go command in a folder and returns what it prints.
func goCommand(t *testing.T, dir string, args ...string) string {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOPROXY=off")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, string(output))
	return string(output)
}

// program completes code, whose first line is at position, to a file: with a package
// clause, imports, and a function around statements.
func program(position, code string) string {
	if strings.HasPrefix(code, "package ") {
		return code
	}
	if !strings.HasPrefix(code, "func ") && !strings.HasPrefix(code, "type ") {
		code = "func _(ctx context.Context, kv kvdb.Kvdb) error {\n//line " + position + "\n" + code + "return nil\n}\n"
	} else {
		code = "//line " + position + "\n" + code
	}
	file := "package snippet\n\n"
	for _, path := range packages {
		if regexp.MustCompile(`\b` + path[strings.LastIndex(path, "/")+1:] + `\.[A-Z]`).MatchString(code) {
			file += fmt.Sprintf("import %q\n", path)
		}
	}
	return file + "\n" + code
}

func write(t *testing.T, file, text string) {
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
}
