package kvdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Config says what [Open] opens. Only Backend is required.
type Config struct {
	// Backend is the name by which the backend is registered, see [Backends].
	Backend string
	// Domain goes in front of all keys.
	Domain string
	// Endpoints are the servers of the store. Without any, the store on this machine is
	// used.
	Endpoints []string
	// Options are those of the backend, and of the wrappers that [WrappersOption] names.
	Options map[string]string
	// Strict makes an option an error that neither the backend nor one of these wrappers
	// reads. Otherwise Open warns of it, as [New] does.
	Strict bool
	// Logger gets warnings at level warn, and, if OnFatal is nil, fatal errors at level
	// error. If it is nil, both are logged by logrus, as those of [New] are.
	Logger *slog.Logger
	// Hooks observe the instance from when the backend has opened it, see [AddHooks].
	Hooks []Hook
	// OnFatal is called when a lock is lost or held for too long. If it is nil, such errors
	// are logged.
	OnFatal FatalErrorCB
}

// Open returns an instance of the backend that c names. It is [New] with a context, strict
// options and hooks.
//
// If ctx ends before the instance is open, Open returns an error that wraps ctx.Err() and
// context.Cause(ctx), and closes the instance when the backend has opened it or failed. The
// context does not bound the life of an instance that Open has returned.
//
// If no imported package has registered the backend, the error wraps [ErrNotSupported] and
// has the names that are registered. With c.Strict, the error of an option that is not known
// wraps [ErrIllegal] and names the nearest option that is. If the backend or a wrapper does
// not declare its options, see [RegisterOptions], the error of an option that may be one of
// these wraps ErrNotSupported.
func Open(ctx context.Context, c Config) (Kvdb, error) {
	if ctx.Err() != nil {
		return nil, endOf(ctx)
	}
	store, ok := registered(c.Backend)
	if !ok {
		return nil, fmt.Errorf("%w: no imported package has registered the backend %q: import its package; registered are %q",
			ErrNotSupported, c.Backend, Backends())
	}
	warn := warnWithLogrus
	if c.Logger != nil {
		warn = func(text string) { c.Logger.LogAttrs(ctx, slog.LevelWarn, text) }
		if c.OnFatal == nil {
			c.OnFatal = logFatal(c.Logger)
		}
	}
	if err := c.checkOptions(warn); err != nil {
		return nil, err
	}
	type result struct {
		kv  Kvdb
		err error
	}
	opened := make(chan result)
	go func() {
		kv, err := c.open(store)
		select {
		case opened <- result{kv, err}:
		case <-ctx.Done(): // nobody waits for the result
			if err == nil {
				err = Close(kv)
			}
			if err != nil {
				warn(fmt.Sprintf("kvdb: Open of %s, after its context had ended: %v", c.Backend, err))
			}
		}
	}()
	select {
	case r := <-opened:
		return r.kv, r.err
	case <-ctx.Done():
		return nil, endOf(ctx)
	}
}

// endOf returns the error of a call that ctx has ended. It wraps ctx.Err() and the cause.
func endOf(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ctx.Err()) {
		return cause
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}

// logFatal returns a callback that logs fatal errors.
func logFatal(logger *slog.Logger) FatalErrorCB {
	return func(err error, format string, args ...interface{}) {
		logger.Error(fmt.Sprintf(format, args...), slog.Any("error", err))
	}
}

// open returns an instance of store with the hooks and the wrappers of c.
func (c Config) open(store datastore) (Kvdb, error) {
	kv, err := store.init(c.Domain, c.Endpoints, c.Options, c.OnFatal)
	if err != nil {
		return nil, err
	}
	if len(c.Hooks) > 0 {
		if err := AddHooks(kv, c.Hooks...); err != nil {
			return nil, errors.Join(fmt.Errorf("hooks of %s: %w", c.Backend, err), Close(kv))
		}
	}
	return c.wrap(kv)
}

// wrap returns kv with the wrappers of c around it. If it fails, it closes kv.
func (c Config) wrap(kv Kvdb) (Kvdb, error) {
	for _, wrapper := range c.wrappers() {
		wrapped, err := AddWrapper(wrapper, kv, c.Options)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("option %s: wrapper %q: %w", WrappersOption, wrapper, err), Close(kv))
		}
		kv = wrapped
	}
	return kv, nil
}

// wrappers returns the names in the option WrappersOption.
func (c Config) wrappers() (names []WrapperName) {
	for name := range strings.SplitSeq(c.Options[WrappersOption], ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, WrapperName(name))
		}
	}
	return names
}

// unknownOptions returns the options that neither the backend nor one of the wrappers
// reads.
func (c Config) unknownOptions() []unknownOption {
	parts := []string{c.Backend}
	for _, wrapper := range c.wrappers() {
		parts = append(parts, string(wrapper))
	}
	return unknownOptions(c.Options, parts)
}

// checkOptions returns an error if a wrapper is not registered or, if c is strict, an option
// is not known. Otherwise it calls warn for each option that is not known, except for those of
// registered wrappers, because programs also give them to [AddWrapper].
func (c Config) checkOptions(warn func(text string)) error {
	for _, wrapper := range c.wrappers() {
		if !isWrapper(string(wrapper)) {
			return fmt.Errorf("option %s: wrapper %q: %w", WrappersOption, wrapper, ErrNotSupported)
		}
	}
	var errs []error
	for _, unknown := range c.unknownOptions() {
		switch {
		case c.Strict && unknown.undeclared != "":
			errs = append(errs, fmt.Errorf("%w: %v", ErrNotSupported, unknown))
		case c.Strict:
			errs = append(errs, fmt.Errorf("%w: %v", ErrIllegal, unknown))
		case unknown.undeclared == "" && !slices.ContainsFunc(unknown.owners, isWrapper):
			warn("kvdb: " + unknown.String())
		}
	}
	return errors.Join(errs...)
}
