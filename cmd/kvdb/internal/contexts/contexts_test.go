package contexts

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadWhatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kvdb", "config.yaml")
	f, err := Read(path)
	require.NoError(t, err)
	require.Empty(t, f.Contexts)

	f.Current = "prod"
	f.Contexts["prod"] = Context{Store: "etcd://h/d", Protected: true, Secrets: map[string]string{"Password": "hunter2"}}
	f.Contexts["dev"] = Context{Store: "bolt:/tmp/dev.db"}
	require.NoError(t, Write(path, f))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again, err := Read(path)
	require.NoError(t, err)
	require.Equal(t, f, again)

	require.NoError(t, os.Chmod(path, 0o644))
	_, err = Read(path)
	require.ErrorContains(t, err, "run chmod 600 "+path)

	delete(f.Contexts, "prod")
	f.Current = ""
	require.NoError(t, Write(path, f))
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = Read(path)
	require.NoError(t, err, "without secrets others may read the file")
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file is left")
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a: b\n":                           "line 1 is not as the file must be",
		"contexts:\n  a:\n    stor: x\n":   "line 3 is not as the file must be",
		"contexts: hunter2":                "line 1 is not",
		"\t:":                              "the file is not YAML",
		"contexts: {a b: {store: 'mem:'}}": "must have letters, digits",
		"contexts: {a: {store: redis}}":    "context a: a store is a URL",
		"contexts: {a: {store: 'mem:', secrets: {RetryCount: hunter2}}}": `option "RetryCount" is not secret`,
		"contexts: {a: {store: 'etcd://h?Password=hunter2'}}":            "a secret does not belong",
		"current: b\ncontexts: {a: {store: 'mem:'}}":                     `"b", which does not exist`,
	} {
		_, err := Parse([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "hunter2", text)
		require.NotContains(t, err.Error(), "\n", text)
	}
	f, err := Parse(nil)
	require.NoError(t, err)
	require.Empty(t, f.Contexts)
}

// A file never makes Parse panic, and what it accepts has only stores that can be opened.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "current: a\ncontexts: {a: {store: 'mem:', protected: true, secrets: {Password: x}}}", "contexts: [", "&a [*a]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse(text)
		if err != nil {
			return
		}
		for name, c := range file.Contexts {
			require.NoError(t, CheckName(name))
			require.NotEmpty(t, c.Store)
		}
	})
}
