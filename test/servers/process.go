package servers

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// stopTimeout is the time within which a server must end in good order.
const stopTimeout = 20 * time.Second

// process is a running program.
type process struct {
	*os.Process
	ended chan struct{} // closed when it has ended
	done  chan struct{} // closed after that, when the function given to launch has returned
}

// launch starts a program that prints to a file. after is called when the program has ended.
func launch(cmd *exec.Cmd, output string, after func()) (*process, error) {
	file, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = file, file
	dieWithParent(cmd)
	p := &process{ended: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux sends the signal of dieWithParent when the thread that started the process
		// ends, so this goroutine keeps its thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer file.Close()
		err := cmd.Start()
		p.Process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() // the error is not needed: a test ended the program, or its output has the reason
			close(p.ended)
			after()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process at once.
func (p *process) kill() error {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// stop ends the process in good order.
func (p *process) stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.NewTimer(stopTimeout)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C: // Consul sometimes hangs when it has just lost the leader
		return p.kill()
	}
}

// tail returns the last bytes of a file, or the text of the error.
func tail(path string, bytes int64) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > bytes {
		_, _ = file.Seek(-bytes, io.SeekEnd) // fails if the file is shorter; then all of it is read
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
