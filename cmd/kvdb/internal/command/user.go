package command

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cmd/kvdb/internal/secret"
)

// newUser returns the command that manages users.
func newUser(a *app) *cobra.Command {
	return parent("user", "Manage the users of etcd", `Manage the users of etcd. Each has a role of the same name, with what the user
may do. A new user may do nothing until it is granted.

Permissions count when the authentication of etcd is on.`,
		a.newUserAdd(), a.newUserRm(),
		a.newUserAccess("grant", "Permit a user to read or write the keys of a directory", `Permit a user to read or write the keys of a directory, and to lock them. A
permission is added to those that the user has. The directory "" is the whole
domain, and needs --all.`, kvdb.Kvdb.GrantUserAccess),
		a.newUserAccess("revoke", "Take a permission back", `Take a permission back that was granted for the same directory. The directory ""
is the whole domain, and needs --all.`, kvdb.Kvdb.RevokeUsersAccess))
}

// administers is runs for a command about the user that its first argument names. If a write
// may have happened or not, unsure says what to do.
func (a *app) administers(unsure string, run func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return a.runs(changes, func(ctx context.Context, s *session, args []string) error {
		if err := s.permits(managingUsers); err != nil {
			return err
		}
		if args[0] == "" {
			return usagef("the name of the user is empty")
		}
		err := run(ctx, s, args)
		switch {
		case errors.Is(err, kvdb.ErrUnknownOutcome):
			return advise(err, "%s", unsure)
		case errors.Is(err, kvdb.ErrNotFound):
			return advise(err, `"kvdb user add" adds it`)
		case errors.Is(err, kvdb.ErrExist):
			return advise(err, `"kvdb user rm" removes it`)
		}
		return err
	})
}

func (a *app) newUserAdd() *cobra.Command {
	const form = "NAME"
	var password string
	c := &cobra.Command{
		Use:   "add " + form,
		Short: "Add a user",
		Long: `Add a user. The password is asked for on a terminal, or else comes from where
--password-from says; it is never an argument.`,
		Example: `  kvdb user add app
  kvdb user add app --password-from file:/run/secrets/app`,
		Args:              usage(1, 1, form),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.administers(`"kvdb user rm" removes what was added`, func(ctx context.Context, s *session, args []string) error {
			text, err := a.newPassword(ctx, password)
			if err != nil {
				return err
			}
			return s.kv.AddUser(args[0], text)
		}),
	}
	c.Flags().StringVar(&password, passwordFlag, "", "file:PATH, env:VARIABLE or cmd:COMMAND")
	return c
}

const passwordFlag = "password-from"

// newPassword returns the password that reference says, or that is typed twice on the terminal.
func (a *app) newPassword(ctx context.Context, reference string) (string, error) {
	const what = "the password"
	if reference != "" {
		source := secret.Source{Getenv: a.lookup, Commands: true, Stderr: a.Stderr}
		password, err := source.Read(ctx, what, reference)
		if err != nil {
			return "", usagef("--%s: %w", passwordFlag, err)
		}
		return password, nil
	}
	if !a.canAsk() {
		return "", usagef("the password is not given: add --%s file:PATH, env:VARIABLE or cmd:COMMAND", passwordFlag)
	}
	password, err := a.askSecret("Password of the new user: ")
	if err != nil {
		return "", usagef("%s: %w", what, err)
	}
	again, err := a.askSecret("The same again: ")
	if err != nil {
		return "", usagef("%s: %w", what, err)
	}
	if password != again {
		return "", usagef("the two passwords differ: nothing was changed")
	}
	return password, nil
}

func (a *app) newUserRm() *cobra.Command {
	const form = "NAME"
	c := &cobra.Command{
		Use:               "rm " + form,
		Short:             "Remove a user and its role",
		Example:           "  kvdb user rm app --yes",
		Args:              usage(1, 1, form),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := confirms(c)
	c.RunE = a.administers("repeat it until the user is not found", func(ctx context.Context, s *session, args []string) error {
		if goOn, err := s.confirm(ctx, f, &change{what: "remove user " + escape(args[0])}); !goOn {
			return err
		}
		return s.kv.RemoveUser(args[0])
	})
	return c
}

// permissions are the permissions of users.
var permissions = []kvdb.PermissionType{kvdb.ReadPermission, kvdb.WritePermission, kvdb.ReadWritePermission}

// newUserAccess returns a command that changes what a user may do.
func (a *app) newUserAccess(use, short, long string,
	change func(kv kvdb.Kvdb, user string, permission kvdb.PermissionType, dir string) error) *cobra.Command {
	const form = "NAME read|write|read-write DIRECTORY"
	c := &cobra.Command{
		Use:     use + " " + form,
		Short:   short,
		Long:    long,
		Example: "  kvdb user " + use + " app read-write config/app",
		Args:    usage(3, 3, form),
	}
	f := (&confirmation{}).withAll(c)
	c.ValidArgsFunction = func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch len(args) {
		case 1:
			return cobra.FixedCompletions(permissionNames(), cobra.ShellCompDirectiveNoFileComp)(c, args, typed)
		case 2:
			return a.completeKeys(c, args, typed)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.RunE = a.administers("repeat it", func(_ context.Context, s *session, args []string) error {
		if err := f.checkPrefix(args[2]); err != nil {
			return err
		}
		for _, permission := range permissions {
			if args[1] == permission.String() {
				return change(s.kv, args[0], permission, args[2])
			}
		}
		return usagef("the permission %q must be one of %s", args[1], strings.Join(permissionNames(), ", "))
	})
	return c
}

// permissionNames returns the names of the permissions.
func permissionNames() []string {
	names := make([]string, len(permissions))
	for i, p := range permissions {
		names[i] = p.String()
	}
	return names
}
