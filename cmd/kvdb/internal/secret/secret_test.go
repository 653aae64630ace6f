package secret

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("of file\n"), 0o600))
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	s := Source{
		Getenv: func(name string) (string, bool) { return "of env", name == "PW" },
		Ask: func(prompt string) (string, error) {
			require.Equal(t, "Password: ", prompt)
			return "of terminal", nil
		},
		Commands: true,
	}
	for reference, want := range map[string]string{
		"file:" + file: "of file", "env:PW": "of env", "cmd:echo of cmd": "of cmd", "": "of terminal",
	} {
		got, err := s.Read(t.Context(), "Password", reference)
		require.NoError(t, err, reference)
		require.Equal(t, want, got, reference)
	}
	for reference, want := range map[string]string{
		"file:" + file + "x": "no such file", "env:X": "the environment has no variable X", "cmd:exit 3": "exit status 3",
		"file:" + empty: "it is empty", "plain": "a secret comes from file:PATH",
	} {
		_, err := s.Read(t.Context(), "Password", reference)
		require.ErrorContains(t, err, want, reference)
		require.ErrorContains(t, err, "Password", reference)
	}
	_, err := Source{}.Read(t.Context(), "Password", "cmd:echo x")
	require.ErrorContains(t, err, "does not run here")
	_, err = Source{}.Read(t.Context(), "Password", "")
	require.ErrorContains(t, err, "add ?Password=file:PATH")
	declined := errors.New("declined")
	_, err = Source{Ask: func(string) (string, error) { return "", declined }}.Read(t.Context(), "Password", "")
	require.ErrorIs(t, err, declined)
}
