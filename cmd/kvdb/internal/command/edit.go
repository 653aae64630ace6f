package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// newEdit returns the command that opens a value in an editor.
func newEdit(a *app) *cobra.Command {
	const form = "KEY"
	var create bool
	c := &cobra.Command{
		Use:   "edit " + form,
		Short: "Edit a value in an editor",
		Long: `Open a value in $VISUAL, $EDITOR or vi, and write it if it was changed and if
nobody else has written the key meanwhile. Otherwise show both values, keep the
edited one in a file, and end with exit code 4. A TTL goes on. If the value had
no newline at its end, one that the editor adds is left out.`,
		Example:           "  kvdb edit app/config.yaml\n  EDITOR='code -w' kvdb edit --create notes",
		Args:              usage(1, 1, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(writes, func(ctx context.Context, s *session, args []string) error {
			pair, err := s.kv.Get(args[0])
			if errors.Is(err, kvdb.ErrNotFound) && create {
				pair, err = &kvdb.KVPair{Key: args[0]}, nil
			}
			if err != nil {
				return advise(about(args[0], err), "--create edits a key that does not exist")
			}
			return s.edit(ctx, pair)
		}),
	}
	c.Flags().BoolVar(&create, "create", false, "begin with an empty value if the key does not exist")
	return c
}

// edit lets a person edit the value of pair, and writes it. A pair whose ModifiedIndex is 0
// does not exist yet.
func (s *session) edit(ctx context.Context, pair *kvdb.KVPair) error {
	file, err := os.CreateTemp("", "kvdb-*"+path.Ext(path.Base(pair.Key)))
	if err != nil {
		return err
	}
	name := file.Name()
	_, err = file.Write(pair.Value)
	if err = errors.Join(err, file.Close()); err == nil {
		err = s.runEditor(ctx, name)
	}
	var edited []byte
	if err == nil {
		edited, err = os.ReadFile(name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	if !bytes.HasSuffix(pair.Value, []byte("\n")) {
		edited = bytes.TrimSuffix(edited, []byte("\n"))
	}
	if bytes.Equal(edited, pair.Value) && pair.ModifiedIndex != 0 {
		fmt.Fprintln(s.Stderr, "the value was not changed")
		return os.Remove(name)
	}
	written, err := s.writeEdited(pair, edited)
	if err != nil {
		s.showConflict(pair.Key, edited, err)
		return advise(about(pair.Key, err), "the edited value is in %s", name)
	}
	return errors.Join(s.wrote(written), os.Remove(name))
}

// runEditor opens the file in the editor of the user, who may interrupt it without ending this
// process.
func (s *session) runEditor(ctx context.Context, file string) error {
	editor := cmp.Or(s.getenv("VISUAL"), s.getenv("EDITOR"), "vi")
	command := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "kvdb", file) // it may have arguments
	command.Env, command.Stdin, command.Stdout, command.Stderr = s.Environ, s.Stdin, s.Stdout, s.Stderr
	ignore := func(os.Signal) {}
	s.takeSignal.Store(&ignore)
	defer s.takeSignal.Store(nil)
	if err := command.Run(); err != nil {
		return advise(fmt.Errorf("editor %q: %w", editor, err), "nothing was changed; set EDITOR to another editor")
	}
	return nil
}

// writeEdited writes the value if the key is still as in pair.
func (s *session) writeEdited(pair *kvdb.KVPair, value []byte) (*kvdb.KVPair, error) {
	flags := kvdb.KVModifiedIndex
	next := &kvdb.KVPair{Key: pair.Key, Value: value, ModifiedIndex: pair.ModifiedIndex}
	if pair.ModifiedIndex != 0 {
		remaining, has, err := s.ttlOf(pair.Key)
		if err != nil {
			return nil, err
		}
		if has {
			next.TTL, flags = wholeSeconds(remaining), flags|kvdb.KVTTL
		}
	}
	return s.kv.CompareAndSet(next, flags, nil)
}

// showConflict shows both values if somebody else has written the key.
func (s *session) showConflict(key string, edited []byte, err error) {
	if !errors.Is(err, kvdb.ErrModified) && !errors.Is(err, kvdb.ErrNotFound) {
		return
	}
	theirs, title := "", "--- the key was deleted"
	if pair, err := s.kv.Get(key); err == nil {
		theirs, title = string(pair.Value), fmt.Sprintf("--- in the store now, at index %d", pair.ModifiedIndex)
	}
	for _, part := range []struct{ title, text string }{{title, theirs}, {"--- as you edited it", string(edited)}} {
		fmt.Fprintln(s.Stderr, part.title)
		if part.text != "" {
			fmt.Fprintln(s.Stderr, escapeLines(strings.TrimSuffix(part.text, "\n")))
		}
	}
	fmt.Fprintln(s.Stderr, "---")
}
