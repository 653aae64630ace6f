package command

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/cmd/kvdb/internal/contexts"
	"github.com/portworx/kvdb/cmd/kvdb/internal/storeurl"
)

// newContext returns the command that manages stores with names.
func newContext(a *app) *cobra.Command {
	return parent("context", "Give stores names", `Give stores names. -s @NAME uses one, and so does KVDB_STORE=@NAME; the current
context is used if neither is given. The file $XDG_CONFIG_HOME/kvdb/config.yaml,
or ~/.config/kvdb/config.yaml, has them. Only its owner may read it.`,
		a.newContextAdd(), a.newContextUse(), a.newContextLs(), a.newContextShow(), a.newContextRm())
}

// onFile returns a function for cobra.Command.RunE that calls change with the file of contexts
// and writes the file again, unless change returns false.
func (a *app) onFile(change func(out *output, file *contexts.File, args []string) (bool, error)) func(*cobra.Command, []string) error {
	return a.local(func(_ context.Context, out *output, args []string) error {
		path, err := a.contextsPath()
		if err != nil {
			return err
		}
		file, err := contexts.Read(path)
		if err != nil {
			return usagef("contexts: %w", err)
		}
		changed, err := change(out, &file, args)
		if err == nil && changed {
			err = contexts.Write(path, file)
		}
		return err
	})
}

func (a *app) newContextAdd() *cobra.Command {
	const form = "NAME URL"
	var protected, use bool
	var asked []string
	c := &cobra.Command{
		Use:   "add " + form,
		Short: "Add or replace a context",
		Long: `Add or replace a context. A protected one is changed only with --unprotect NAME,
or if its name is typed on the terminal. With --ask, a secret is typed now and
saved in the file; without it, the URL says where the secret is.`,
		Example: `  kvdb context add dev bolt:dev.db --use
  kvdb context add prod 'etcds://app@h1,h2/app?Password=env:PW' --protected
  kvdb context add prod etcds://app@h1,h2/app --ask Password`,
		Args:              usage(2, 2, form),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.RunE = a.onFile(func(_ *output, file *contexts.File, args []string) (bool, error) {
		if err := contexts.CheckName(args[0]); err != nil {
			return false, usagef("%w", err)
		}
		store, err := storeurl.Parse(args[1])
		if err != nil {
			return false, usagef("%w", err)
		}
		if path := store.Options[bolt.Path]; path != "" { // the context is for every folder
			if store.Options[bolt.Path], err = filepath.Abs(path); err != nil {
				return false, err
			}
		}
		added := contexts.Context{Store: store.String(), Protected: protected}
		if added.Secrets, err = a.askSecrets(asked); err != nil {
			return false, err
		}
		file.Contexts[args[0]] = added
		if use || file.Current == "" {
			file.Current = args[0]
		}
		return true, nil
	})
	c.Flags().BoolVar(&protected, "protected", false, "ask before each change of the store")
	c.Flags().BoolVar(&use, "use", false, "make it the current context; the first one always is")
	c.Flags().StringSliceVar(&asked, "ask", nil, "options to ask for and save: Password, ACLToken")
	return c
}

// askSecrets asks for the values of options.
func (a *app) askSecrets(options []string) (map[string]string, error) {
	secrets := map[string]string{}
	for _, option := range options {
		switch {
		case !storeurl.IsSecret(option):
			return nil, usagef("--ask %s: only Password and ACLToken are secret", option)
		case !a.canAsk():
			return nil, usagef("--ask needs a terminal: write ?%s=file:PATH, env:VARIABLE or cmd:COMMAND into the URL", option)
		}
		value, err := a.askSecret(option + ": ")
		if err != nil {
			return nil, usagef("%s: %w", option, err)
		}
		secrets[option] = value
	}
	return secrets, nil
}

func (a *app) newContextUse() *cobra.Command {
	const form = "NAME"
	return &cobra.Command{
		Use: "use " + form, Short: "Make a context the current one", Args: usage(1, 1, form), ValidArgsFunction: a.completeContexts,
		RunE: a.onFile(func(_ *output, file *contexts.File, args []string) (bool, error) {
			file.Current = args[0]
			return true, checkContext(file, args[0])
		}),
	}
}

func (a *app) newContextRm() *cobra.Command {
	const form = "NAME"
	return &cobra.Command{
		Use: "rm " + form, Short: "Forget a context", Args: usage(1, 1, form), ValidArgsFunction: a.completeContexts,
		Long: "Forget a context. Its store is not changed.",
		RunE: a.onFile(func(_ *output, file *contexts.File, args []string) (bool, error) {
			if err := checkContext(file, args[0]); err != nil {
				return false, err
			}
			delete(file.Contexts, args[0])
			if file.Current == args[0] {
				file.Current = ""
			}
			return true, nil
		}),
	}
}

func (a *app) newContextLs() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the contexts", Args: usage(0, 0, ""), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.onFile(func(out *output, file *contexts.File, _ []string) (bool, error) {
			return false, out.list(contextColumns, func(yield func(row, error) bool) {
				for _, name := range slices.Sorted(maps.Keys(file.Contexts)) {
					if !yield(contextRow(file, name), nil) {
						return
					}
				}
			})
		}),
	}
}

func (a *app) newContextShow() *cobra.Command {
	const form = "[NAME]"
	return &cobra.Command{
		Use: "show " + form, Short: "Show a context, or the current one", Args: usage(0, 1, form), ValidArgsFunction: a.completeContexts,
		RunE: a.onFile(func(out *output, file *contexts.File, args []string) (bool, error) {
			name := file.Current
			if len(args) > 0 {
				name = args[0]
			}
			if err := checkContext(file, name); err != nil {
				return false, err
			}
			return false, out.one(contextColumns, contextRow(file, name))
		}),
	}
}

// checkContext returns an error if there is no such context.
func checkContext(file *contexts.File, name string) error {
	if name == "" {
		return usagef(`there is no current context: use "kvdb context use NAME"`)
	}
	if _, found := file.Contexts[name]; !found {
		return usagef("there is no context %q: the contexts are %q", name, slices.Sorted(maps.Keys(file.Contexts)))
	}
	return nil
}

var contextColumns = []column{
	{title: "NAME", flexible: true}, {title: "CURRENT"}, {title: "PROTECTED"}, {title: "SAVED"}, {title: "STORE", flexible: true},
}

// contextRow returns a context without its secrets. Of these it has the names.
func contextRow(file *contexts.File, name string) row {
	c := file.Contexts[name]
	saved := slices.Sorted(maps.Keys(c.Secrets))
	yes := map[bool]string{true: "yes", false: "-"}
	secrets := "-"
	if len(saved) > 0 {
		secrets = fmt.Sprint(saved)
	}
	return row{
		[]string{name, yes[name == file.Current], yes[c.Protected], secrets, c.Store},
		struct {
			Name      string   `json:"name"`
			Store     string   `json:"store"`
			Current   bool     `json:"current"`
			Protected bool     `json:"protected"`
			Saved     []string `json:"saved,omitempty"`
		}{name, c.Store, name == file.Current, c.Protected, saved},
		[]byte(name + "\n"),
	}
}

// completeContexts offers the names of the contexts.
func (a *app) completeContexts(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	path, err := a.contextsPath()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	file, err := contexts.Read(path)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(file.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

// completeStores offers the contexts and the schemes of URLs for -s.
func (a *app) completeStores(c *cobra.Command, _ []string, typed string) (offers []cobra.Completion, _ cobra.ShellCompDirective) {
	names, directive := a.completeContexts(c, nil, typed)
	for _, name := range names {
		offers = append(offers, "@"+name)
	}
	for _, scheme := range storeurl.Schemes() {
		offers = append(offers, scheme+":")
	}
	return offers, directive | cobra.ShellCompDirectiveNoSpace
}
