package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fill writes some keys into the store of the command.
func fill(t *testing.T, command *exec.Cmd) {
	for _, key := range []string{"app/colour", "app/size/x", "app:b", "c"} {
		put := exec.Command(command.Path, "put", key, "1")
		put.Env = command.Env
		require.NoError(t, put.Run())
	}
}

// Bash completes commands, flags and keys, also without the package bash-completion, and with
// a colon in a word.
func TestBashCompletion(t *testing.T) {
	command := kvdb(t)
	fill(t, command)
	const script = `source <(kvdb completion bash) || exit 1
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
read -ra COMP_WORDS <<<"$1"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; }
__start_kvdb 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"`
	store := strings.TrimPrefix(command.Env[2], "KVDB_STORE=")
	for line, want := range map[string]string{
		"kvdb get app/":               "app/colour\napp/size/\n",
		"kvdb get c":                  "c\n",
		"kvdb get app:":               "b\n",
		"kvdb creat":                  "create\n",
		"kvdb -s " + store + " get c": "c\n",
		"kvdb put --ttl 1h app/size/": "app/size/x\n",
		"kvdb completion powe":        "powershell\n",
		"kvdb get --out":              "--output\n",
		"kvdb -s bol":                 "bolt:\n",
	} {
		bash := exec.Command("bash", "--norc", "-c", script, "bash", line)
		bash.Env = append(command.Env, "PATH="+programs+":/usr/bin:/bin")
		output, err := bash.CombinedOutput()
		require.NoError(t, err, string(output))
		require.Equal(t, want, string(output), line)
	}
}
