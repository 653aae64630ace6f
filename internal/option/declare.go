// Package option declares the options of backends and wrappers, and reads their values. It
// needs no package of the network, so that a program with a store in process links none.
package option

import (
	"slices"

	"github.com/portworx/kvdb"
)

// Option describes an option. The texts are Markdown for docs/options.md.
type Option struct {
	Name    string
	Values  string // the values that it may have
	Default string // the behaviour without it
	Meaning string
}

// Options are the options that New of a backend, or a wrapper, accepts.
type Options struct {
	Owner string
	List  []Option
}

// declared has the options of all calls of Declare. Only the initialization of packages
// writes it.
var declared []Options

// Declare returns the options of owner, and adds them to those that Declared returns. It must
// be called in the initialization of a package.
func Declare(owner string, options ...[]Option) Options {
	o := Options{Owner: owner, List: slices.Concat(options...)}
	declared = append(declared, o)
	return o
}

// Declared returns the options of all packages that the program imports.
func Declared() []Options { return slices.Clone(declared) }

// Names returns the names of the options.
func (o Options) Names() []string {
	names := make([]string, len(o.List))
	for i, option := range o.List {
		names[i] = option.Name
	}
	return names
}

// Of returns the given options that are declared. New reads no others, so every option that
// has an effect is in the documentation.
func (o Options) Of(given map[string]string) map[string]string {
	known := make(map[string]string, len(given))
	for _, option := range o.List {
		if value, present := given[option.Name]; present {
			known[option.Name] = value
		}
	}
	return known
}

// Options of several backends.
var (
	Consistency = []Option{{
		kvdb.ReadConsistency, "`linearizable`, `stale`", "`linearizable`",
		"whether a read may miss the latest writes; mem and bolt are always linearizable",
	}}
	StoreLogin = []Option{
		{kvdb.UsernameKey, "a name", "no login", "the user to log in as; the login is renewed when it expires"},
		{kvdb.PasswordKey, "a text", "none", "the password, required with `Username`"},
	}
	Transport = slices.Concat([]Option{
		{kvdb.TransportScheme, "`http`, `https`", "what endpoints and files ask for", "whether TLS is used"},
	}, Certificates)
	Certificates = []Option{
		{kvdb.TrustedCAFileKey, "a PEM file", "the system's authorities", "the authorities that sign the servers' certificates"},
		{kvdb.CAFileKey, "a PEM file", "none", "the same as `TrustedCAFile`, where that is not set"},
		{kvdb.CertFileKey, "a PEM file", "none", "the client's certificate, to be set together with `CertKeyFile`"},
		{kvdb.CertKeyFileKey, "a PEM file", "none", "the key of the client's certificate"},
		{kvdb.ClientCertAuthKey, "a boolean", "`false`", "`true` requires a client's certificate"},
		{kvdb.CAAuthAddress, "a name or address", "the endpoint's host", "the name that the servers' certificates must have"},
		{kvdb.InsecureSkipVerify, "a boolean", "`false`", "`true` accepts any certificate of a server"},
	}
)

// Retries declares the option RetryCount. otherwise is the default of the store.
func Retries(otherwise string) []Option {
	return []Option{{
		kvdb.RetryCountKey, "0 or more", otherwise,
		"how often a request that did not run, or changes nothing, is tried again in time; see below",
	}}
}

// kvdb.New itself reads this option, for every backend.
var _ = Declare("every store", []Option{{
	kvdb.WrappersOption, "names, comma-separated", "none", "wrappers to put around the instance, innermost first",
}})
