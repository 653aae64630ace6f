//go:build !linux

package servers

import (
	"errors"
	"fmt"
	"os/exec"
)

func dieWithParent(*exec.Cmd) {}

func (p *process) pause() error {
	return fmt.Errorf("pausing a process: %w", errors.ErrUnsupported)
}

func (p *process) resume() error {
	return fmt.Errorf("resuming a process: %w", errors.ErrUnsupported)
}
