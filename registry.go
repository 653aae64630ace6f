package kvdb

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// DatastoreInit is called to activate a backend KV store.
type DatastoreInit func(domain string, machines []string, options map[string]string,
	cb FatalErrorCB) (Kvdb, error)

// DatastoreVersion is called to get the version of a backend KV store
type DatastoreVersion func(url string, kvdbOptions map[string]string) (string, error)

type datastore struct {
	init    DatastoreInit
	version DatastoreVersion
}

var (
	registryMu sync.RWMutex // protects datastores, wrappers and instance
	datastores = map[string]datastore{}
	wrappers   = map[WrapperName]WrapperInit{}
	instance   Kvdb
)

// Register adds specified datastore backend to the list of options. A name
// that is taken is [ErrExist].
func Register(name string, dsInit DatastoreInit, dsVersion DatastoreVersion) error {
	registryMu.Lock()
	defer registryMu.Unlock()
	if _, taken := datastores[name]; taken {
		return ErrExist
	}
	datastores[name] = datastore{dsInit, dsVersion}
	return nil
}

// New return a new instance of KVDB as specified by datastore name.
// If domain is set all requests to KVDB are prefixed by domain.
// options is interpreted by backend KVDB; of them, [WrappersOption] names
// wrappers to put around the instance. errorCB may be nil: fatal errors are
// logged then.
//
// A name that no imported backend has registered is [ErrNotSupported]: [Backends]
// returns those that are there, and the package comment says what to import for
// the others.
func New(
	name string,
	domain string,
	machines []string,
	options map[string]string,
	errorCB FatalErrorCB,
) (Kvdb, error) {
	registryMu.RLock()
	store, ok := datastores[name]
	registryMu.RUnlock()
	if !ok || store.init == nil {
		return nil, ErrNotSupported
	}
	kv, err := store.init(domain, machines, options, errorCB)
	if err != nil {
		return nil, err
	}
	for wrapper := range strings.SplitSeq(options[WrappersOption], ",") {
		if wrapper = strings.TrimSpace(wrapper); wrapper == "" {
			continue
		}
		wrapped, err := AddWrapper(WrapperName(wrapper), kv, options)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("option %s: wrapper %q: %w", WrappersOption, wrapper, err), Close(kv))
		}
		kv = wrapped
	}
	return kv, nil
}

// Version returns the supported version for the provided kvdb endpoint.
func Version(name string, url string, kvdbOptions map[string]string) (string, error) {
	registryMu.RLock()
	store, ok := datastores[name]
	registryMu.RUnlock()
	if !ok || store.version == nil {
		return "", ErrNotSupported
	}
	return store.version(url, kvdbOptions)
}

// Instance returns instance set via [SetInstance], nil if none was set.
func Instance() Kvdb {
	registryMu.RLock()
	defer registryMu.RUnlock()
	return instance
}

// SetInstance sets the singleton instance in place of the one before, which it
// does not close. Nil clears it. The error is always nil.
func SetInstance(kvdb Kvdb) error {
	registryMu.Lock()
	defer registryMu.Unlock()
	instance = kvdb
	return nil
}

// Backends returns the names that [New] knows, sorted: those of the backends that
// the program imports.
func Backends() []string {
	registryMu.RLock()
	defer registryMu.RUnlock()
	return slices.Sorted(maps.Keys(datastores))
}
