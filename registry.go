package kvdb

import (
	"maps"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"
)

// DatastoreInit returns a new instance of a backend. [New] calls it.
type DatastoreInit func(domain string, machines []string, options map[string]string,
	cb FatalErrorCB) (Kvdb, error)

// DatastoreVersion returns the version of the store at url. [Version] calls it.
type DatastoreVersion func(url string, kvdbOptions map[string]string) (string, error)

type datastore struct {
	init    DatastoreInit
	version DatastoreVersion
}

var (
	registryMu sync.RWMutex // protects datastores, wrappers, known and instance
	datastores = map[string]datastore{}
	wrappers   = map[WrapperName]WrapperInit{}
	known      = map[string][]string{} // the options that backends and wrappers declare
	instance   Kvdb
)

// Register makes a backend available to [New] and [Version]. It returns [ErrExist] if
// the name is registered already.
func Register(name string, dsInit DatastoreInit, dsVersion DatastoreVersion) error {
	registryMu.Lock()
	defer registryMu.Unlock()
	if _, taken := datastores[name]; taken {
		return ErrExist
	}
	datastores[name] = datastore{dsInit, dsVersion}
	return nil
}

// registered returns the backend that is registered as name, if it can open instances.
func registered(name string) (datastore, bool) {
	registryMu.RLock()
	defer registryMu.RUnlock()
	store, ok := datastores[name]
	return store, ok && store.init != nil
}

// New returns an instance of the backend that is registered as name. domain goes in
// front of all keys. machines are the endpoints of the store; without any, the store on
// this machine is used. The backend interprets options, but [WrappersOption] names
// wrappers that New puts around the instance. errorCB may be nil; then logrus logs fatal
// errors.
//
// Options that are not known have no effect, and logrus logs a warning. [Open] can refuse
// them, ends with a context, and takes a logger.
//
// New returns [ErrNotSupported] if no imported package has registered name. [Backends]
// returns the registered names, and the package comment says what to import.
func New(
	name string,
	domain string,
	machines []string,
	options map[string]string,
	errorCB FatalErrorCB,
) (Kvdb, error) {
	store, ok := registered(name)
	if !ok {
		return nil, ErrNotSupported
	}
	c := Config{Backend: name, Options: options}
	if err := c.checkOptions(warnWithLogrus); err != nil {
		return nil, err
	}
	kv, err := store.init(domain, machines, options, errorCB)
	if err != nil {
		return nil, err
	}
	return c.wrap(kv)
}

// warnWithLogrus logs to the standard logger of logrus, where fatal errors without a callback
// go too.
func warnWithLogrus(text string) { logrus.Warn(text) }

// Version returns the version of the store at url, for example [EtcdVersion3]. name is
// that of a registered backend.
func Version(name string, url string, kvdbOptions map[string]string) (string, error) {
	registryMu.RLock()
	store, ok := datastores[name]
	registryMu.RUnlock()
	if !ok || store.version == nil {
		return "", ErrNotSupported
	}
	return store.version(url, kvdbOptions)
}

// Instance returns the instance that [SetInstance] set, or nil.
func Instance() Kvdb {
	registryMu.RLock()
	defer registryMu.RUnlock()
	return instance
}

// SetInstance sets the instance that [Instance] returns. It does not close the previous
// one. The error is always nil.
func SetInstance(kvdb Kvdb) error {
	registryMu.Lock()
	defer registryMu.Unlock()
	instance = kvdb
	return nil
}

// Backends returns the registered names of backends, sorted.
func Backends() []string {
	registryMu.RLock()
	defer registryMu.RUnlock()
	return slices.Sorted(maps.Keys(datastores))
}
