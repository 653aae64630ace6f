package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/portworx/kvdb/internal/atomicfile"
)

// saveEvery is the time between two writes of the state file.
const saveEvery = 2 * time.Second

// stateVersion is the version of the state file.
const stateVersion = 1

// state is where a copy can continue. The zero value is the beginning. It is used only if the
// record at the target is still that of the copy that saved it, and if the source delivers all
// changes since Index.
type state struct {
	Version int `json:"version"`
	// ID is that of the copy in its record at the target, and Options are those that it had.
	ID      string `json:"id"`
	Options string `json:"options"`
	// Index is an index of the source. All changes up to it are at the target, if the base
	// pass is complete. Otherwise that holds for the keys before From.
	Index    uint64 `json:"index"`
	From     []byte `json:"from,omitempty"` // a key may have any bytes
	Complete bool   `json:"complete,omitempty"`
}

// options returns the options that a state depends on.
func (o Options) options() string {
	return fmt.Sprintf("prefix %q, ttl %s, delete %v, skip %v", o.Prefix, o.TTL, o.Delete, o.Skip)
}

// loadState sets the state to that in the file, if it is of the copy that has used the target
// last and had the same options. A file that cannot be read is reported, and not used.
func (c *copier) loadState(earlier string) {
	if c.o.StateFile == "" || earlier == "" {
		return
	}
	text, err := os.ReadFile(c.o.StateFile)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var s state
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	switch {
	case err != nil:
		c.failed(fmt.Errorf("the state file %s is not used: %w", c.o.StateFile, err))
	case s.Version == stateVersion && s.ID == earlier && s.Options == c.o.options():
		c.state = s
	}
}

// saveState writes the state file, unless that was done less than every ago. An error is
// reported, and the copy continues without.
func (c *copier) saveState(every time.Duration) {
	if c.o.StateFile == "" || time.Since(c.saved) < every {
		return
	}
	c.saved = time.Now()
	c.state.Version, c.state.ID, c.state.Options = stateVersion, c.id, c.o.options()
	err := atomicfile.Write(c.o.StateFile, 0o600, func(f *os.File) error { return json.NewEncoder(f).Encode(c.state) })
	if err != nil {
		c.failed(fmt.Errorf("the state file is not written: %w", err))
	}
}

// removeState removes the state file of a copy that is complete.
func (c *copier) removeState() {
	if c.o.StateFile != "" {
		if err := os.Remove(c.o.StateFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			c.failed(err)
		}
	}
}
