package mock_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gomock "github.com/golang/mock/gomock"
	"github.com/stretchr/testify/require"
	ubergomock "go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mock"
	"github.com/portworx/kvdb/mock/ubermock"
)

// hook observes connections.
type hook struct{}

func (hook) OnConnectionMade(string, string)        {}
func (hook) OnConnectionLost(string, string, error) {}

var (
	_ kvdb.Kvdb = (*mock.MockKvdb)(nil)
	_ kvdb.Kvdb = (*ubermock.MockKvdb)(nil)
)

// The committed files are the output of go generate for the present interface.
func TestCurrent(t *testing.T) {
	for _, dir := range []string{".", "ubermock"} {
		t.Run(dir, func(t *testing.T) {
			args := generateCommand(t, filepath.Join(dir, "doc.go"))
			i := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-destination=") })
			require.GreaterOrEqual(t, i, 0)
			committed := filepath.Join(dir, strings.TrimPrefix(args[i], "-destination="))
			fresh := filepath.Join(t.TempDir(), "mock.go")
			args[i] = "-destination=" + fresh

			generate := exec.Command(args[0], args[1:]...)
			generate.Dir = dir
			output, err := generate.CombinedOutput()
			require.NoError(t, err, string(output))

			want, err := os.ReadFile(fresh)
			require.NoError(t, err)
			got, err := os.ReadFile(committed)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got), "run go generate ./mock/...")
		})
	}
}

// generateCommand returns the command of the file's go:generate line.
func generateCommand(t *testing.T, file string) []string {
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(source)) {
		if command, ok := strings.CutPrefix(line, "//go:generate "); ok {
			return strings.Fields(command)
		}
	}
	require.Fail(t, "no go:generate line", file)
	return nil
}

func TestMocks(t *testing.T) {
	want := &kvdb.KVPair{Key: "k"}
	old := mock.NewMockKvdb(gomock.NewController(t))
	old.EXPECT().Get("k").Return(want, nil)
	current := ubermock.NewMockKvdb(ubergomock.NewController(t))
	current.EXPECT().Get("k").Return(want, nil)
	for _, kv := range []kvdb.Kvdb{old, current} {
		got, err := kv.Get("k")
		require.NoError(t, err)
		require.Same(t, want, got)
	}
}

// A transaction can be mocked with the store. Close, LimitsOf and AddHooks of a mock call nothing that a
// test would have to expect.
func TestMockTxAndClose(t *testing.T) {
	oldCtrl, currentCtrl := gomock.NewController(t), ubergomock.NewController(t)
	oldTx, currentTx := mock.NewMockTx(oldCtrl), ubermock.NewMockTx(currentCtrl)
	oldTx.EXPECT().Commit().Return(kvdb.ErrModified)
	currentTx.EXPECT().Commit().Return(kvdb.ErrModified)
	old, current := mock.NewMockKvdb(oldCtrl), ubermock.NewMockKvdb(currentCtrl)
	old.EXPECT().TxNew().Return(oldTx, nil)
	current.EXPECT().TxNew().Return(currentTx, nil)
	for _, kv := range []kvdb.Kvdb{old, current} {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		require.Equal(t, kvdb.ErrModified, tx.Commit())
		require.Equal(t, kvdb.Limits{}, kvdb.LimitsOf(kv))
		require.NoError(t, kvdb.AddHooks(kv, hook{}))
		kvdb.RemoveHooks(kv, hook{})
		require.NoError(t, kvdb.Close(kv))
	}
}
