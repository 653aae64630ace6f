package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/cmd/kvdb/internal/contexts"
	"github.com/portworx/kvdb/cmd/kvdb/internal/secret"
	"github.com/portworx/kvdb/cmd/kvdb/internal/storeurl"
	"github.com/portworx/kvdb/kvdbslog"
)

// access says what a command does to its store.
type access int

const (
	reads access = iota
	// writes may create a bolt file.
	writes
	// changes is writes for what only a store that exists has.
	changes
)

// session is a command with its open store.
type session struct {
	*app
	// kv is the store. Its calls end with the command's context.
	kv kvdb.Kvdb
	// instance is the store without the context.
	instance kvdb.Kvdb
	// target is the store as the user chose it.
	target target
	limits kvdb.Limits
	// options are those of the store, with its secrets.
	options map[string]string
	out     *output
}

// target is a store that was chosen and is not open.
type target struct {
	storeurl.Store
	// context is the name of the context that the store is from, or "".
	context   string
	protected bool
	// saved are the secrets that the context has.
	saved map[string]string
}

// String returns the context or the URL of the store, for messages.
func (t target) String() string {
	if t.context != "" {
		return "@" + t.context
	}
	return t.Store.String()
}

// runs returns a function for cobra.Command.RunE that opens the store, calls run and closes the
// store.
func (a *app) runs(what access, run func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		ctx, cancel := a.bound(c.Context())
		defer cancel()
		out, err := a.newOutput()
		if err != nil {
			return err
		}
		t, err := a.choose(a.flags.store, "-s")
		if err != nil {
			return err
		}
		if dry, err := c.Flags().GetBool(dryRunFlag); what != reads && !(err == nil && dry) {
			if err := a.permit(ctx, t); err != nil {
				return err
			}
		}
		s, err := a.open(ctx, t, what)
		if err != nil {
			return err
		}
		s.out = out
		err = errors.Join(run(ctx, s, args), out.flush())
		return errors.Join(err, s.close(err))
	}
}

// local is runs for a command that needs no store.
func (a *app) local(run func(ctx context.Context, out *output, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		ctx, cancel := a.bound(c.Context())
		defer cancel()
		out, err := a.newOutput()
		if err != nil {
			return err
		}
		return errors.Join(run(ctx, out, args), out.flush())
	}
}

// bound returns ctx with the time limit of the command.
func (a *app) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.flags.timeout > 0 {
		return context.WithTimeout(ctx, a.flags.timeout)
	}
	return context.WithCancel(ctx)
}

// choose returns the store that given names, or else that of the environment or the current
// context. source is where given is from, for errors.
func (a *app) choose(given, source string) (target, error) {
	if given == "" {
		given, source = a.getenv("KVDB_STORE"), "$KVDB_STORE"
	}
	if given != "" && !strings.HasPrefix(given, "@") {
		store, err := storeurl.Parse(given)
		if err != nil {
			return target{}, usagef("%s: %w", source, err)
		}
		return target{Store: store}, nil
	}
	path, err := a.contextsPath()
	if err != nil {
		return target{}, err
	}
	file, err := contexts.Read(path)
	if err != nil {
		return target{}, usagef("contexts: %w", err)
	}
	name := strings.TrimPrefix(given, "@")
	if given == "" {
		name = file.Current
	}
	c, found := file.Contexts[name]
	switch {
	case given == "" && name == "":
		return target{}, usagef("no store is given: use -s URL, for example -s bolt:demo.db, or set KVDB_STORE, or use a context")
	case !found:
		return target{}, usagef("%s: there is no context %q: the contexts are %q", source, name, slices.Sorted(maps.Keys(file.Contexts)))
	}
	store, err := storeurl.Parse(c.Store)
	if err != nil {
		return target{}, usagef("context %s: %w", name, err)
	}
	return target{store, name, c.Protected, c.Secrets}, nil
}

// contextsPath returns the path of the file of contexts.
func (a *app) contextsPath() (string, error) {
	dir := a.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := a.getenv("HOME")
		if home == "" {
			return "", usagef("the contexts have no place: set HOME or XDG_CONFIG_HOME, or use -s URL")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "kvdb", "config.yaml"), nil
}

// permit returns an error if t is protected and the user does not want to change it.
func (a *app) permit(ctx context.Context, t target) error {
	if !t.protected || a.flags.unprotect == t.context {
		return nil
	}
	if !a.canAsk() {
		return usagef("context %s is protected: add --unprotect %s to change it", t.context, t.context)
	}
	answer, err := a.ask(ctx, fmt.Sprintf("Context %s is protected. Type its name to change it: ", t.context))
	if err == nil && answer != t.context {
		err = usagef("nothing was changed, because %q is not the name of the context", answer)
	}
	return err
}

// open opens the store t.
func (a *app) open(ctx context.Context, t target, what access) (*session, error) {
	options := maps.Clone(t.Options)
	if err := a.addSecrets(ctx, t, options); err != nil {
		return nil, err
	}
	if path := options[bolt.Path]; t.Backend == bolt.Name && what != writes {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, usagef(`there is no file %s: check the name, or create it with "kvdb -s %s put KEY VALUE"`, path, t)
		}
	}
	logger := a.logger()
	config := kvdb.Config{Backend: t.Backend, Domain: t.Domain, Endpoints: t.Endpoints, Options: options, Strict: true, Logger: logger}
	config.OnFatal = func(err error, _ string, _ ...any) {
		select {
		case a.fatal <- err:
		default: // the first one decides
		}
	}
	if a.flags.verbose || a.warns {
		config.Hooks = []kvdb.Hook{kvdbslog.New(logger)}
	}
	kv, err := kvdb.Open(ctx, config)
	if err != nil {
		return nil, openError(t, err)
	}
	return &session{
		app: a, kv: kvdb.WithContext(ctx, kv), instance: kv, target: t, limits: kvdb.LimitsOf(kv), options: options,
	}, nil
}

// openError returns the error for a store that cannot be opened.
func openError(t target, err error) error {
	code, _ := exitOf(context.Background(), err)
	switch {
	case errors.Is(err, kvdb.ErrIllegal), code == exitOther && t.Backend != bolt.Name: // an option or endpoint
		return usagef("%s: %w", t, err)
	case errors.Is(err, kvdb.ErrNoConnection) && t.Backend == bolt.Name:
		return advise(fmt.Errorf("%s: %w", t, err), "end that process, or wait until it has ended")
	}
	return fmt.Errorf("%s: %w", t, err)
}

// addSecrets adds the secrets of t to options.
func (a *app) addSecrets(ctx context.Context, t target, options map[string]string) error {
	source := secret.Source{Getenv: a.lookup, Commands: true, Stderr: a.Stderr}
	if a.canAsk() {
		source.Ask = a.askSecret
	}
	maps.Copy(options, t.saved)
	for name, reference := range t.Secrets {
		value, err := source.Read(ctx, name, reference)
		if err != nil {
			return usagef("%w", err)
		}
		options[name] = value
	}
	if options[kvdb.UsernameKey] != "" && options[kvdb.PasswordKey] == "" {
		value, err := source.Read(ctx, kvdb.PasswordKey, "")
		if err != nil {
			return usagef("%w", err)
		}
		options[kvdb.PasswordKey] = value
	}
	return nil
}

// logger returns the logger for warnings, and for requests if they are wanted.
func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.flags.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: level}))
}

// close closes the store. It returns no error if the command has failed with err.
func (s *session) close(err error) error {
	closed := kvdb.Close(s.instance)
	if err != nil {
		return nil
	}
	return closed
}

// about adds the key to the error of an operation.
func about(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("key %q: %w", key, err)
}

// readAll returns what is in a stream. It ends with ctx, though the read may go on.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		text, err := io.ReadAll(r)
		read <- result{text, err}
	}()
	select {
	case r := <-read:
		return r.text, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
