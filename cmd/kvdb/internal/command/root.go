package command

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The groups of commands in the help.
const (
	groupRead  = "read"
	groupWrite = "write"
	groupWait  = "wait"
	groupMove  = "move"
	groupAdmin = "admin"
	groupSetup = "setup"
)

// groups has the commands of the program. Each function is in a file of its own.
var groups = []struct {
	id, title string
	commands  []func(*app) *cobra.Command
}{
	{groupRead, "Read:", []func(*app) *cobra.Command{
		newGet, newLs, newTree, newDu, newFind, newGrep,
	}},
	{groupWrite, "Change:", []func(*app) *cobra.Command{
		newPut, newCreate, newUpdate, newEdit, newCas, newTTL, newRm, newTxn,
	}},
	{groupWait, "Wait:", []func(*app) *cobra.Command{
		newWatch, newLock,
	}},
	{groupMove, "Copy, save and compare:", []func(*app) *cobra.Command{
		newDigest, newDiff, newApply, newExport, newImport, newBackup, newRestore, newCopy,
	}},
	{groupAdmin, "Look after a store:", []func(*app) *cobra.Command{
		newStatus, newCheck, newMember, newUser, newCompact, newDefrag,
	}},
	{groupSetup, "Set up:", []func(*app) *cobra.Command{
		newContext, newCompletion, newVersion,
	}},
}

// globalFlags are the flags of every command.
type globalFlags struct {
	store     string
	output    string
	timeout   time.Duration
	unprotect string
	verbose   bool
}

// newRoot returns the command with all commands below it.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "kvdb",
		Short: "One command for bolt files, etcd, Consul and ZooKeeper",
		Long: `kvdb reads and changes key-value stores: bolt files, etcd, Consul and ZooKeeper.

The store is a URL after -s or in $KVDB_STORE, or a context that
"kvdb context add" has saved:

  bolt:FILE?domain=d                     a file, without any server
  etcd://host:2379,host/domain           etcd v3; etcds:// with TLS
  etcd2:// consul:// zk://               others; etcd2s:// consuls:// zks://
  etcds://user@host/domain?Password=file:PATH&TrustedCAFile=ca.pem
  mem:                                   in memory, gone at the end, to try out

Keys are those below the domain. Options, after the ?, are those of the library.

The exit code is 0, or 1 not found or a difference, 2 usage, 3 no connection,
4 exists, modified or another value, 5 not supported or illegal, 6 the write may
have happened or not, 7 login or permission, 8 lock not obtained or lost,
9 copy incomplete, 10 another failure, 130 and 143 signals.`,
		Example: `  kvdb -s bolt:demo.db put greeting hello
  kvdb -s bolt:demo.db get greeting
  export KVDB_STORE=etcd://127.0.0.1:2379/my/app
  kvdb ls`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.ArbitraryArgs,
		RunE:              needsCommand,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	a.addGlobalFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef(`%w: see "%s --help"; after -- no argument is a flag`, err, c.CommandPath())
	})
	root.SuggestionsMinimumDistance = suggestionDistance
	_ = root.RegisterFlagCompletionFunc("store", a.completeStores) // the flags exist
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	usage := strings.ReplaceAll(root.UsageTemplate(), "FlagUsages", "FlagUsagesWrapped 80")
	root.SetUsageTemplate(strings.TrimSpace(usage) + "\n")
	for _, group := range groups {
		if len(group.commands) > 0 {
			root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		}
		for _, command := range group.commands {
			c := command(a)
			c.GroupID = group.id
			c.DisableFlagsInUseLine = true
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID(groupSetup)
	return root
}

// suggestionDistance is how many letters of a command may be wrong for a suggestion.
const suggestionDistance = 2

// needsCommand is the RunE of a command that has others below it.
func needsCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("%q is not a command: did you mean %q?", args[0], near[0])
	}
	return usagef(`%q is not a command: "%s --help" lists the commands`, args[0], c.CommandPath())
}

// parent returns a command that has others below it.
func parent(use, short, long string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.ArbitraryArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: needsCommand, SuggestionsMinimumDistance: suggestionDistance,
	}
	for _, b := range below {
		b.DisableFlagsInUseLine = true
		c.AddCommand(b)
	}
	return c
}

func (a *app) addGlobalFlags(flags *pflag.FlagSet) {
	flags.StringVarP(&a.flags.store, "store", "s", "", "URL of the store, or @CONTEXT")
	flags.StringVarP(&a.flags.output, "output", "o", "", "table, json, jsonl or raw")
	flags.DurationVar(&a.flags.timeout, "timeout", 0, "end the command after that time, such as 5s")
	flags.StringVar(&a.flags.unprotect, "unprotect", "", "name of the protected context to change")
	flags.BoolVarP(&a.flags.verbose, "verbose", "v", false, "log requests to standard error")
}

// Root returns the command for the generator of its pages.
func Root() *cobra.Command { return newRoot(&app{}) }
