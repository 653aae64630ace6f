package driver

import (
	"fmt"
	"strconv"

	"github.com/portworx/kvdb"
)

// StaleReads tells whether the option kvdb.ReadConsistency asks for stale reads.
func StaleReads(options map[string]string) (bool, error) {
	switch mode := options[kvdb.ReadConsistency]; mode {
	case "", kvdb.ReadLinearizable:
		return false, nil
	case kvdb.ReadStale:
		return true, nil
	default:
		return false, fmt.Errorf("option %s: %q is neither %q nor %q",
			kvdb.ReadConsistency, mode, kvdb.ReadLinearizable, kvdb.ReadStale)
	}
}

// SwitchedOn tells whether an option is on that other releases of this library
// switch on by its presence alone.
func SwitchedOn(options map[string]string, name string) bool {
	value, present := options[name]
	on, err := strconv.ParseBool(value)
	return present && (on || err != nil)
}
