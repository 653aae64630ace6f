package common

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

// What TestStart runs, and where.
const (
	serverURL    = "http://127.0.0.1:" + kvdb.ClientPort
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

var (
	serverMu sync.Mutex // protects server
	server   *exec.Cmd  // of the last TestStart, nil after TestStop
)

// TestStart starts the etcd in PATH on its default port, for the tests of programs,
// and returns when it serves requests. Unless removeData is true, etcd finds the data
// of its last run in a folder in [os.TempDir]. It is an error when etcd already runs.
func TestStart(removeData bool) error {
	serverMu.Lock()
	defer serverMu.Unlock()
	if server != nil {
		return errors.New("etcd is started already")
	}
	if _, err := get(serverURL+"/health", &http.Transport{DisableKeepAlives: true}); err == nil {
		return fmt.Errorf("another server is at %s already", serverURL)
	}
	dir := filepath.Join(os.TempDir(), "kvdb-etcd-test")
	if removeData {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	cmd := exec.Command("etcd", "--data-dir", dir, "--log-level", "error",
		"--listen-client-urls", serverURL, "--advertise-client-urls", serverURL)
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := awaitHealth(); err != nil {
		return errors.Join(fmt.Errorf("etcd does not start: %w", err), end(cmd))
	}
	server = cmd
	return nil
}

func awaitHealth() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	backoff := retry.Backoff{Min: 10 * time.Millisecond, Max: 200 * time.Millisecond}
	for {
		_, err := get(serverURL+"/health", &http.Transport{DisableKeepAlives: true})
		if err == nil {
			return nil
		}
		if waitErr := backoff.Wait(ctx); waitErr != nil {
			return errors.Join(waitErr, err)
		}
	}
}

// TestStop stops the server that TestStart started, if there is one.
func TestStop() error {
	serverMu.Lock()
	defer serverMu.Unlock()
	if server == nil {
		return nil
	}
	err := end(server)
	server = nil
	return err
}

// end interrupts the process, kills it after stopTimeout, and waits for its end.
func end(cmd *exec.Cmd) error {
	kill := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) { // ended by the signal, or before it
		return nil
	}
	return err
}
