package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb/transfer"
)

// The values of --on-incompatible.
const (
	incompatibleStop = "stop"
	incompatibleSkip = "skip"
)

// cutOverGrace is how long the command of --cutover-cmd has to end after TERM.
const cutOverGrace = 5 * time.Second

// copying are the flags of copy.
type copying struct {
	*confirmation
	transfer.Options
	ttl, incompatible, cutOver string
}

// newCopy returns the command that copies a store to another one.
func newCopy(a *app) *cobra.Command {
	const form = otherForm
	var f copying
	c := &cobra.Command{
		Use:   "copy " + form,
		Short: "Copy a store to another one while programs write",
		Long: `Copy the pairs of the store to another one, STORE, which is a URL or @CONTEXT,
and prove that both are equal. Programs may write to the store meanwhile, but
nobody to the other one. If a copy is interrupted, run it again.

To move programs: with --cutover-cmd, a shell runs the command when the other
store has caught up. When the command succeeds, nobody may write to the store
any more, so it should stop these programs; then the last changes are copied,
both sides are compared, and the receipt is printed. By hand: run with --follow,
which copies changes until it is interrupted; stop the programs; interrupt it;
and run it again without --follow.

If the other store has keys with other values, or keys that --delete deletes, a
question is asked. The exit code is 9 if the copy ended early or has left out
pairs.`,
		Example: `  kvdb -s @old copy @new
  kvdb -s @old copy --follow --state copy.state @new
  kvdb -s @old copy --cutover-cmd 'systemctl stop my-program' @new`,
		Args:              usage(1, 1, form),
		ValidArgsFunction: a.completeStores,
	}
	f.add(a, c)
	c.RunE = a.runs(reads, func(ctx context.Context, s *session, args []string) (err error) {
		if err := f.check(); err != nil {
			return err
		}
		what := writes
		if f.dryRun {
			what = reads
		}
		target, err := s.openOther(ctx, args[0], what)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, target.close(err)) }()
		if goOn, err := s.mayCopy(ctx, target, &f); !goOn {
			return err
		}
		return s.copy(ctx, target, &f)
	})
	return c
}

// add adds the flags to the command.
func (f *copying) add(a *app, c *cobra.Command) {
	f.confirmation = confirms(c)
	flags := c.Flags()
	flags.StringVar(&f.Prefix, "prefix", "", "copy only the keys that begin with this")
	flags.BoolVar(&f.Follow, "follow", false, "go on with what changes, until interrupted")
	flags.StringVar(&f.cutOver, "cutover-cmd", "", "command that stops the programs that write")
	flags.BoolVar(&f.Delete, "delete", false, "delete the keys that only the other store has")
	flags.StringVar(&f.ttl, "ttl", ttlKeep, "keep or drop TTLs, or fail if there are any")
	flags.StringVar(&f.incompatible, "on-incompatible", incompatibleStop, "stop, or skip what the other store cannot hold")
	flags.StringVar(&f.StateFile, "state", "", "file by which a copy continues: it saves time")
	flags.DurationVar(&f.LockWait, "lock-wait", 30*time.Second, "how long to wait for another copy to end")
	for name, values := range map[string][]string{
		"ttl": ttlModes, "on-incompatible": {incompatibleStop, incompatibleSkip},
	} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // it exists
	}
	_ = c.RegisterFlagCompletionFunc("prefix", a.completeKeys)
	_ = c.MarkFlagFilename("state")
}

var ttlModes = []string{string(transfer.TTLKeep), string(transfer.TTLDrop), string(transfer.TTLFail)}

// check reads the flags.
func (f *copying) check() error {
	f.TTL, f.Skip = transfer.TTLMode(f.ttl), f.incompatible == incompatibleSkip
	switch {
	case !slices.Contains(ttlModes, f.ttl):
		return usagef("--ttl %s: it is one of %s", f.ttl, strings.Join(ttlModes, ", "))
	case !f.Skip && f.incompatible != incompatibleStop:
		return usagef("--on-incompatible %s: it is %s or %s", f.incompatible, incompatibleStop, incompatibleSkip)
	case f.Follow && f.cutOver != "":
		return usagef("use --follow or --cutover-cmd, not both: with --cutover-cmd the copy follows until the command has ended")
	case f.LockWait <= 0:
		return usagef("--lock-wait %v must be positive", f.LockWait)
	}
	return nil
}

// mayCopy asks before pairs of the target are replaced or deleted. With --dry-run, it shows what
// the copy would do.
func (s *session) mayCopy(ctx context.Context, target *session, f *copying) (bool, error) {
	if f.yes && !f.dryRun {
		return true, nil
	}
	verb := "replace"
	if f.Delete {
		verb = "replace or delete"
	}
	changes, created, extra := &change{verb: verb}, 0, 0
	p := s.startProgress("compare")
	defer p.end()
	for d, err := range transfer.Compare(ctx, target.kv, s.counting(p), transfer.CompareOptions{Prefix: f.Prefix}) {
		switch {
		case err != nil:
			return false, err
		case d.Old == nil:
			created++
			continue
		case d.New == nil:
			if extra++; !f.Delete {
				continue
			}
		}
		changes.add(d.Key())
	}
	p.end()
	goOn, err := target.confirm(ctx, f.confirmation, changes)
	if err != nil || !f.dryRun {
		return goOn, err
	}
	return false, s.showPreflight(ctx, target, f, created, changes.keys, extra)
}

// showPreflight shows what a copy would do, and the pairs that the target cannot hold.
func (s *session) showPreflight(ctx context.Context, target *session, f *copying, created, changed, extra int) error {
	problems := 0
	for problem, err := range transfer.Preflight(ctx, s.kv, target.kv, f.Options) {
		if err != nil {
			return copyError(err)
		}
		problems++
		if _, err := fmt.Fprintln(s.Stderr, "kvdb: cannot copy", oneLine(about(problem.Key, problem.Err).Error())); err != nil {
			return err
		}
	}
	return s.out.facts([][2]string{
		{"new", strconv.Itoa(created)},
		{"changed", strconv.Itoa(changed)},
		{"extra", strconv.Itoa(extra)},
		{"problems", strconv.Itoa(problems)},
	}, map[string]int{"new": created, "changed": changed, "extra": extra, "problems": problems}, "")
}

// copy copies the store to the target and prints the receipt.
func (s *session) copy(ctx context.Context, target *session, f *copying) error {
	p := s.startProgress(string(transfer.PhaseCheck))
	defer p.end()
	f.Progress = func(now transfer.Progress) {
		p.update(func(w *work) {
			w.Phase, w.Keys, w.Bytes, w.Dirty = string(now.Phase), int64(now.Keys), now.Bytes, int64(now.Dirty)
			if now.InSync {
				w.Phase = "in sync"
			}
		})
	}
	last := ""
	f.OnError = func(err error) {
		if text := err.Error(); text != last {
			last = text
			fmt.Fprintln(p, "kvdb: trying again after:", oneLine(text))
		}
	}
	if f.cutOver != "" {
		f.CutOver = func(ctx context.Context) error { return s.runCutOver(ctx, p, f.cutOver) }
	}
	receipt, err := transfer.Copy(ctx, s.kv, target.kv, f.Options)
	p.end()
	if err != nil {
		return copyError(err)
	}
	if err := s.showReceipt(receipt); err != nil {
		return err
	}
	if receipt.Skipped > 0 {
		return wrap(errIncomplete, "%s left out, because the other store cannot hold them: --dry-run lists them",
			countOf(receipt.Skipped, "pair was", "pairs were"))
	}
	return nil
}

// runCutOver runs the command that stops the programs that write. Its output goes to the standard
// error.
func (s *session) runCutOver(ctx context.Context, p *progress, command string) error {
	fmt.Fprintln(p, "kvdb: in sync: running", oneLine(command))
	runner := &app{Env: s.Env}
	runner.Stdout, runner.Stderr = p, p
	c, err := runner.startChild([]string{"sh", "-c", command}, nil, nil)
	if err != nil {
		return err
	}
	code, err := c.await(ctx, cutOverGrace)
	if err == nil && code != exitOK {
		err = fmt.Errorf("the command of --cutover-cmd ended with exit code %d", code)
	}
	return err
}

// copyError returns the error for a copy that has ended early.
func copyError(err error) error {
	switch {
	case errors.Is(err, transfer.ErrOverlap):
		return usagef("%w", err)
	case errors.Is(err, transfer.ErrIncompatible):
		return advise(wrap(errIncomplete, "%v", err), "--on-incompatible skip leaves them out, --dry-run lists them")
	case errors.Is(err, transfer.ErrChanging):
		return advise(wrap(errIncomplete, "%v", err), "use --cutover-cmd, or stop the programs that write")
	}
	return advise(wrap(errIncomplete, "%v", err), "nothing is lost: run the command again to go on")
}

// showReceipt prints what a copy has done.
func (s *session) showReceipt(r transfer.Receipt) error {
	facts := [][2]string{
		{"pairs", strconv.Itoa(r.Target.Pairs)},
		{"size", byteSize(r.Target.Bytes)},
		{"digest", r.Target.Digest},
		{"written", strconv.Itoa(r.Written)},
		{"deleted", strconv.Itoa(r.Deleted)},
		{"extra", strconv.Itoa(r.TargetOnly)},
		{"skipped", strconv.Itoa(r.Skipped)},
		{"time", r.Ended.Sub(r.Began).Round(time.Millisecond).String()},
	}
	if err := s.out.facts(facts, r, r.Target.Digest); err != nil || s.out.format != formatTable {
		return err
	}
	for _, text := range r.NotCarried {
		for i, line := range wrapText("not copied: "+escapeControl(text), defaultWidth-gap) {
			if i > 0 {
				line = spaces(gap) + line
			}
			if _, err := s.out.WriteString(line + "\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

// wrapText returns the words of a text in lines of at most that many columns.
func wrapText(text string, columns int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && width(line)+1+width(word) > columns {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
