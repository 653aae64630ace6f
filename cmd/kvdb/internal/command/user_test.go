package command

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

func TestUserWithoutUsers(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	for _, args := range []string{"add u --password-from env:HOME", "rm u", "grant u read d", "revoke u read d"} {
		args := append([]string{"user"}, strings.Fields(args)...)
		sh.fails(exitIllegal, "use chmod", args...)
		sh.fails(exitIllegal, "a store in memory has no users", append(args, "-s", "mem:")...)
	}
	sh.fails(exitUsage, "arguments are missing: use kvdb user grant NAME read|write|read-write DIRECTORY", "user", "grant", "u", "read")
	require.Equal(t, []string{"read", "write", "read-write"}, complete(sh, "user", "grant", "u", ""))
	require.Equal(t, []string{"a"}, complete(sh, "user", "grant", "u", "read", ""))
	require.Empty(t, complete(sh, "user", "grant", "u", "read", "a", ""))
}

// A password comes from where the reference says, or is typed twice.
func TestNewPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("of file\n"), 0o600))
	var stderr strings.Builder
	a := &app{Env: Env{Environ: []string{"PW=of environment"}, Stderr: &stderr}}
	for reference, want := range map[string]string{"file:" + file: "of file", "env:PW": "of environment", "cmd:echo of command": "of command"} {
		password, err := a.newPassword(t.Context(), reference)
		require.NoError(t, err)
		require.Equal(t, want, password)
	}
	for reference, want := range map[string]string{
		"hunter2":   "--password-from: the password: a secret comes from file:PATH, env:VARIABLE or cmd:COMMAND",
		"env:NO":    "--password-from: the password: the environment has no variable NO",
		"file:/no/": "no such file",
		"":          "the password is not given: add --password-from file:PATH",
	} {
		_, err := a.newPassword(t.Context(), reference)
		require.ErrorIs(t, err, errUsage)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
	for typed, want := range map[string]string{"pw pw": "", "pw other": "the two passwords differ", "": "the answer was empty", "pw": "the answer was empty"} {
		stderr.Reset()
		answers := strings.Fields(typed)
		a.Terminal = Terminal{In: true, Err: true, ReadPassword: func() ([]byte, error) {
			if len(answers) == 0 {
				return nil, nil
			}
			answer := answers[0]
			answers = answers[1:]
			return []byte(answer), nil
		}}
		password, err := a.newPassword(context.Background(), "")
		if want == "" {
			require.NoError(t, err)
			require.Equal(t, "pw", password)
			require.Equal(t, "Password of the new user: \nThe same again: \n", stderr.String())
		} else {
			require.ErrorIs(t, err, errUsage)
			require.ErrorContains(t, err, want)
		}
	}
}

// What a store without the work says is advice of its own.
func TestAdvised(t *testing.T) {
	s := &session{}
	for work, of := range instead {
		for backend := range of {
			require.Contains(t, kvdb.Backends(), backend)
			s.target.Backend = backend
			err := s.permits(work)
			require.ErrorIs(t, err, kvdb.ErrNotSupported)
			_, message := exitOf(t.Context(), err)
			require.Equal(t, "implementation not supported; "+of[backend], message)
		}
	}
	s.target.Backend = "none"
	require.NoError(t, s.permits(compacting))
	other := errors.New("other")
	require.Equal(t, other, s.advised(other, compacting))
	require.Equal(t, kvdb.ErrNotSupported, s.advised(kvdb.ErrNotSupported, compacting))
}
