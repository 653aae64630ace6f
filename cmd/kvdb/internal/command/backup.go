package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/backup"
)

// newBackup returns the command that writes a backup, with those that look at one.
func newBackup(a *app) *cobra.Command {
	const form = "FILE [PREFIX...]"
	var options backup.Options
	var overwrite bool
	c := &cobra.Command{
		Use:   "backup " + form,
		Short: "Save all pairs in a file that can be checked",
		Long: `Write all pairs with their TTLs to a new file, or those whose keys begin with a
PREFIX, such as app/. The file gets its name when it is on disk and was read
back. If FILE is -, write the backup to standard output: check what arrives with
"kvdb backup verify". Locks are not saved.

The file is a tar archive, compressed with gzip: tar, sha256sum and jq read it.`,
		Example: `  kvdb backup app.kvdb
  kvdb backup - app/ | ssh host 'cat > app.kvdb'
  kvdb backup verify app.kvdb`,
		Args:              usage(1, -1, form),
		ValidArgsFunction: a.completeFileAndKeys,
		RunE: a.runs(reads, func(ctx context.Context, s *session, args []string) error {
			options.Prefixes = args[1:]
			return s.backUp(ctx, args[0], options, overwrite)
		}),
	}
	c.Flags().BoolVar(&options.OneMoment, "one-moment", false, "fail if the store changes before all is read")
	c.Flags().BoolVar(&overwrite, "overwrite", false, "replace the file if it exists")
	for _, below := range []*cobra.Command{
		a.newBackupReader("inspect", "Show what a backup has", `Show what a backup says about itself. A backup that was changed or cut off is
refused, but "kvdb backup verify" looks at each pair.`, backup.Inspect),
		a.newBackupReader("verify", "Check a whole backup", `Read a whole backup and check its sums, its order and its digest. If anything
is wrong, the exit code is 10, and the message says what.`, backup.Verify),
	} {
		below.DisableFlagsInUseLine = true
		c.AddCommand(below)
	}
	return c
}

// newBackupReader returns a command that reads a backup.
func (a *app) newBackupReader(name, short, long string, read func(io.Reader) (backup.Info, error)) *cobra.Command {
	const form = "FILE"
	return &cobra.Command{
		Use:               name + " " + form,
		Short:             short,
		Long:              long + "\nNo store is needed. FILE may be - for standard input.",
		Example:           "  kvdb backup " + name + " app.kvdb\n  kvdb backup " + name + " -o json app.kvdb",
		Args:              usage(1, 1, form),
		ValidArgsFunction: completeFiles,
		RunE: a.local(func(_ context.Context, out *output, args []string) error {
			r := a.Stdin
			if args[0] != stdinPath {
				file, err := os.Open(args[0])
				if err != nil {
					return usagef("%w", err)
				}
				defer file.Close()
				r = file
			}
			info, err := read(r)
			if err != nil {
				return backupError(args[0], err)
			}
			return out.showBackup(info)
		}),
	}
}

// backUp writes a backup to a file or to the standard output.
func (s *session) backUp(ctx context.Context, path string, options backup.Options, overwrite bool) error {
	p := s.startProgress(string(backup.PhaseWrite))
	defer p.end()
	options.Progress = p.ofBackup
	if path == stdinPath {
		if s.Terminal.Out {
			return usagef("a backup is not for a terminal: name a file")
		}
		_, err := backup.Write(ctx, s.out, s.kv, options)
		return momentError(err)
	}
	if _, err := os.Lstat(path); err == nil && !overwrite {
		return usagef("%s exists: choose another name, or add --overwrite", path)
	}
	info, err := backup.Create(ctx, path, s.kv, options)
	p.end()
	if err != nil {
		return momentError(err)
	}
	return s.out.showBackup(info)
}

// momentError returns the error for a backup that was not written.
func momentError(err error) error {
	if errors.Is(err, kvdb.ErrModified) {
		return advise(err, "try again when less is written, or without --one-moment")
	}
	return err
}

// backupError returns the error for a file that is not a good backup.
func backupError(path string, err error) error {
	err = fmt.Errorf("%s: %w", nameOf(path), err)
	if errors.Is(err, kvdb.ErrNotSupported) {
		return advise(err, "use a newer kvdb")
	}
	return err
}

// ofBackup shows the progress of a backup or restore.
func (p *progress) ofBackup(now backup.Progress) {
	p.update(func(w *work) {
		w.Phase, w.Keys, w.Total, w.Bytes = string(now.Phase), int64(now.Pairs), int64(now.Total), now.Bytes
	})
}

// showBackup prints what a backup has.
func (o *output) showBackup(info backup.Info) error {
	prefixes := make([]string, len(info.Prefixes))
	for i, prefix := range info.Prefixes {
		prefixes[i] = strconv.Quote(prefix)
	}
	moment := "of one moment"
	if info.Index != info.LastIndex {
		moment = fmt.Sprintf("from index %d to %d", info.Index, info.LastIndex)
	}
	return o.facts([][2]string{
		{"store", info.Backend + " " + strconv.Quote(info.Domain)},
		{"prefix", strings.Join(prefixes, " ")},
		{"time", info.Time.Format(time.RFC3339)},
		{"state", moment},
		{"TTLs", string(info.TTL)},
		{"pairs", strconv.Itoa(info.Pairs)},
		{"size", byteSize(info.Bytes)},
		{"digest", info.Digest},
	}, info, info.Digest)
}

// completeFileAndKeys completes a file, and then keys.
func (a *app) completeFileAndKeys(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return a.completeKeys(c, args, typed)
	}
	return completeFiles(c, args, typed)
}
