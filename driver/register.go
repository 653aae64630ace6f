package driver

import (
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/settings"
)

// Backend describes a backend for Register.
type Backend struct {
	// Name is the name by which kvdb.New knows the backend.
	Name string
	// New opens an instance.
	New kvdb.DatastoreInit
	// Version returns the version of the store at a URL. If it is nil, kvdb.Version returns
	// kvdb.ErrNotSupported.
	Version kvdb.DatastoreVersion
}

// Register makes a backend known to kvdb.New, which then checks the options that all
// backends have (kvdb.ReadConsistency) before it calls b.New. A package calls it in its
// initialization. It panics if the name is taken.
func Register(b Backend) {
	checked := func(domain string, machines []string, options map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		if _, err := StaleReads(options); err != nil {
			return nil, err
		}
		return b.New(domain, machines, options, cb)
	}
	if err := kvdb.Register(b.Name, checked, b.Version); err != nil {
		panic(fmt.Sprintf("register %s: %v", b.Name, err))
	}
}

// StaleReads reports whether the option kvdb.ReadConsistency asks for stale reads. A store
// without stale reads ignores the result, and returns the error for a bad value.
func StaleReads(options map[string]string) (bool, error) { return settings.StaleReads(options) }
