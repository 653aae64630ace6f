package option

import (
	"fmt"
	"strconv"
	"time"

	"github.com/portworx/kvdb"
)

// Bool returns the value of a boolean option, false if it is not set.
func Bool(options map[string]string, name string) (bool, error) {
	value := options[name]
	if value == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("option %s: %q is not a boolean", name, value)
	}
	return on, nil
}

// Count returns the value of an option that is an integer, or otherwise if it is not set. The
// value must be at least least, which is 0 or 1.
func Count(options map[string]string, name string, least, otherwise int) (int, error) {
	value := options[name]
	if value == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(value)
	switch {
	case err == nil && n >= least:
		return n, nil
	case least > 0:
		return 0, fmt.Errorf("option %s: %q is not a positive integer", name, value)
	}
	return 0, fmt.Errorf("option %s: %q is not a non-negative integer", name, value)
}

// SwitchedOn reports whether an option is on. In earlier releases its presence is enough;
// here it is off with a value that strconv.ParseBool reads as false.
func SwitchedOn(options map[string]string, name string) bool {
	value, present := options[name]
	on, err := strconv.ParseBool(value)
	return present && (on || err != nil)
}

// StaleReads reports whether the option kvdb.ReadConsistency asks for stale
// reads.
func StaleReads(options map[string]string) (bool, error) {
	switch value := options[kvdb.ReadConsistency]; value {
	case "", kvdb.ReadLinearizable:
		return false, nil
	case kvdb.ReadStale:
		return true, nil
	default:
		return false, fmt.Errorf("option %s: %q is not %s or %s",
			kvdb.ReadConsistency, value, kvdb.ReadLinearizable, kvdb.ReadStale)
	}
}

// Login returns the user and the password. It returns kvdb.ErrNoPassword for a user without
// a password.
func Login(options map[string]string) (user, password string, err error) {
	user, password = options[kvdb.UsernameKey], options[kvdb.PasswordKey]
	switch {
	case user != "" && password == "":
		return "", "", kvdb.ErrNoPassword
	case user == "" && password != "":
		return "", "", fmt.Errorf("option %s: it requires option %s", kvdb.PasswordKey, kvdb.UsernameKey)
	}
	return user, password, nil
}

// LockTTLs are the values of the option kvdb.LockTTLKey that a store takes, in seconds, and
// the one that it has without the option.
type LockTTLs struct{ Least, Most, Otherwise int }

// Option declares the option.
func (l LockTTLs) Option() []Option {
	return []Option{{
		kvdb.LockTTLKey, fmt.Sprintf("%d to %d", l.Least, l.Most), strconv.Itoa(l.Otherwise),
		"how many seconds a lock lives after the last request of its holder; see below",
	}}
}

// Read returns the value of the option, and whether it is set.
func (l LockTTLs) Read(options map[string]string) (ttl time.Duration, set bool, err error) {
	value := options[kvdb.LockTTLKey]
	if value == "" {
		return time.Duration(l.Otherwise) * time.Second, false, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < l.Least || n > l.Most {
		return 0, false, fmt.Errorf("option %s: %q is not a number of seconds from %d to %d", kvdb.LockTTLKey, value, l.Least, l.Most)
	}
	return time.Duration(n) * time.Second, true, nil
}
