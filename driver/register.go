package driver

import (
	"fmt"
	"slices"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/option"
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
	// Options are the names of the options that New reads, besides kvdb.ReadConsistency.
	// kvdb.New warns of others, and kvdb.Open can refuse them. nil means that the backend
	// does not declare its options, so none is refused; a backend without options declares
	// an empty list.
	Options []string
}

// bare are the errors of New that Register does not wrap, because programs compare them
// with ==.
var bare = []error{
	kvdb.ErrNotSupported, kvdb.ErrNoPassword, kvdb.ErrAuthNotSupported, kvdb.ErrNoCertificate,
	ErrSnapWithInterfaceNotSupported,
}

// Register makes a backend known to kvdb.New, which then checks the options that all
// backends have (kvdb.ReadConsistency) before it calls b.New. The errors of kvdb.New begin
// with b.Name, except those that b.New must return unwrapped: kvdb.ErrNotSupported,
// kvdb.ErrNoPassword, kvdb.ErrAuthNotSupported, kvdb.ErrNoCertificate and
// ErrSnapWithInterfaceNotSupported. A package calls Register in its initialization. It
// panics if the name is taken.
func Register(b Backend) {
	open := func(domain string, machines []string, options map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		if _, err := StaleReads(options); err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name, err)
		}
		kv, err := b.New(domain, machines, options, cb)
		if err != nil && !slices.Contains(bare, err) {
			err = fmt.Errorf("%s: %w", b.Name, err)
		}
		return kv, err
	}
	if err := kvdb.Register(b.Name, open, b.Version); err != nil {
		panic(fmt.Sprintf("register %s: %v", b.Name, err))
	}
	if b.Options != nil {
		kvdb.RegisterOptions(b.Name, kvdb.ReadConsistency)
		kvdb.RegisterOptions(b.Name, b.Options...)
	}
}

// StaleReads reports whether the option kvdb.ReadConsistency asks for stale reads. A store
// without stale reads ignores the result, and returns the error for a bad value.
func StaleReads(options map[string]string) (bool, error) { return option.StaleReads(options) }
