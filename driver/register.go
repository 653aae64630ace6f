package driver

import (
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/settings"
)

// Backend is what a package registers of itself.
type Backend struct {
	// Name is the name by which kvdb.New knows the backend.
	Name string
	// New opens an instance.
	New kvdb.DatastoreInit
	// Version returns the version of the store at a URL. If it is nil, kvdb.Version
	// is kvdb.ErrNotSupported.
	Version kvdb.DatastoreVersion
}

// Register makes a backend known to kvdb.New, which then checks the options that all
// backends have (kvdb.ReadConsistency) before it calls b.New. It is for the
// initialization of a package, and panics if the name is taken.
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

// StaleReads reports whether the option kvdb.ReadConsistency asks for stale reads. A
// store that has none checks the value all the same.
func StaleReads(options map[string]string) (bool, error) { return settings.StaleReads(options) }
