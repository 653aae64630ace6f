package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// programs is the folder with the program.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	var err error
	if programs, err = os.MkdirTemp("", "kvdb-test-*"); err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(programs) }() // the system removes what is left
	if output, err := exec.Command("go", "build", "-o", filepath.Join(programs, "kvdb"), ".").CombinedOutput(); err != nil {
		panic(string(output))
	}
	return m.Run()
}

// example is a command that a page shows, and what it prints.
type example struct{ command, output string }

// examples returns the commands in the blocks of a page with the language console.
func examples(t *testing.T, path string) (found []example) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	inside := false
	for line := range strings.Lines(string(text)) {
		if language, is := strings.CutPrefix(line, "```"); is {
			inside = language == "console\n"
		} else if command, is := strings.CutPrefix(line, "$ "); inside && is {
			found = append(found, example{command: command})
		} else if more, is := strings.CutPrefix(line, "> "); inside && is {
			found[len(found)-1].command += more
		} else if inside {
			found[len(found)-1].output += line
		}
	}
	return found
}

// The pages show what the program does: their commands run in one shell, in an empty folder.
func TestPages(t *testing.T) {
	for _, path := range []string{"../../README.md", "../../docs/command.md"} {
		dir := t.TempDir()
		ran := 0
		const mark = "===="
		var script, want strings.Builder
		for _, e := range examples(t, path) {
			if strings.HasPrefix(e.command, "go install") {
				continue
			}
			ran++
			script.WriteString(e.command + "echo " + mark + "\n")
			want.WriteString(e.output + mark + "\n")
		}
		require.Greater(t, ran, 3, path)
		shell := exec.Command("bash", "-c", "exec 2>&1\n"+script.String())
		shell.Dir = dir
		shell.Env = []string{"HOME=" + dir, "PATH=" + programs + ":" + os.Getenv("PATH")}
		output, err := shell.CombinedOutput()
		require.NoError(t, err, string(output))
		require.Equal(t, want.String(), string(output), path)
	}
}
