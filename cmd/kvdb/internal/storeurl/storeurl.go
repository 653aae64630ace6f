// Package storeurl reads and writes the URLs that name a store, such as
// etcd://user@host:2379,[::1]:2379/domain?RetryCount=3 or bolt:file.db?domain=d.
package storeurl

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/zookeeper"
)

// Store is a store that a URL names. Two equal stores have the same URL.
type Store struct {
	// Scheme is the scheme of the URL, in lower case.
	Scheme string
	// Backend is the name of the backend, and Domain the domain of its keys.
	Backend, Domain string
	// Endpoints are the servers, with the scheme that the backend expects. There are none
	// if the URL names no host.
	Endpoints []string
	// Options are those of the backend. Secrets are the options whose values must not be
	// in the URL: each is a reference, such as env:NAME.
	Options, Secrets map[string]string
}

// scheme is what a scheme of URLs means.
type scheme struct {
	backend string
	// endpoint is the scheme of the backend's endpoints. It is "" for a store in process.
	endpoint string
	// tls is the value of the option TransportScheme if the URL names no host.
	tls string
}

var schemes = map[string]scheme{
	"etcd":    {etcdv3.Name, "http", ""},
	"etcds":   {etcdv3.Name, "https", "https"},
	"etcd2":   {etcdv2.Name, "http", ""},
	"etcd2s":  {etcdv2.Name, "https", "https"},
	"consul":  {consul.Name, "http", ""},
	"consuls": {consul.Name, "https", "https"},
	"zk":      {zookeeper.Name, "tcp", ""},
	"zks":     {zookeeper.Name, "tls", "tls"},
	"bolt":    {bolt.Name, "", ""},
	"mem":     {mem.Name, "", ""},
}

// domainOption names the domain in the query of a store in process.
const domainOption = "domain"

// secretOptions are the options whose values are secret.
var secretOptions = []string{kvdb.PasswordKey, kvdb.ACLTokenKey}

// references are the beginnings of a reference to a secret.
var references = []string{"file:", "env:", "cmd:"}

// Schemes returns the schemes that Parse knows, sorted.
func Schemes() []string { return slices.Sorted(maps.Keys(schemes)) }

// Parse returns the store that a URL names. It does not check the options and the hosts,
// which [kvdb.Open] does. Its errors do not show what may be a secret.
func Parse(given string) (Store, error) {
	name, rest, found := strings.Cut(given, ":")
	name = strings.ToLower(name)
	kind, known := schemes[name]
	switch {
	case !found || strings.ContainsAny(name, "/@"):
		return Store{}, fmt.Errorf("a store is a URL such as bolt:FILE or etcd://HOST:PORT/DOMAIN, with one of the schemes %s",
			strings.Join(Schemes(), ", "))
	case !known:
		return Store{}, fmt.Errorf("the scheme %q of the store is not known: use one of %s", name, strings.Join(Schemes(), ", "))
	case strings.Contains(rest, "#"):
		return Store{}, errors.New("the URL of a store has no fragment: write # as %23")
	}
	s := Store{Scheme: name, Backend: kind.backend, Options: map[string]string{}, Secrets: map[string]string{}}
	rest, query, _ := strings.Cut(rest, "?")
	if err := s.readQuery(query); err != nil {
		return Store{}, err
	}
	if kind.endpoint == "" {
		return s, s.readFile(rest)
	}
	return s, s.readServers(rest, kind)
}

// readQuery reads Option=value&Option=value.
func (s *Store) readQuery(query string) error {
	if query == "" {
		return nil
	}
	for part := range strings.SplitSeq(query, "&") {
		name, value, found := strings.Cut(part, "=")
		name, err := url.PathUnescape(name)
		switch {
		case err != nil || name == "" || !found:
			return errors.New("the part after ? of a store's URL must be Option=value&Option=value")
		case s.has(name):
			return fmt.Errorf("option %s is in the store's URL twice", name)
		}
		if value, err = url.PathUnescape(value); err != nil {
			return fmt.Errorf("option %s: a %% must be followed by two hexadecimal digits: write %%25 for a %%", name)
		}
		if !slices.Contains(secretOptions, name) {
			s.Options[name] = value
			continue
		}
		if err := CheckReference(value); err != nil {
			return fmt.Errorf("option %s: %w", name, err)
		}
		s.Secrets[name] = value
	}
	return nil
}

// has reports whether the option is in the URL.
func (s *Store) has(option string) bool {
	_, plain := s.Options[option]
	_, secret := s.Secrets[option]
	return plain || secret
}

// IsSecret reports whether the value of the option is secret.
func IsSecret(option string) bool { return slices.Contains(secretOptions, option) }

// CheckReference returns an error if reference does not say where a secret is.
func CheckReference(reference string) error {
	for _, prefix := range references {
		if after, is := strings.CutPrefix(reference, prefix); is && after != "" {
			return nil
		}
	}
	return errors.New("a secret does not belong on the command line: use file:PATH, env:VARIABLE or cmd:COMMAND")
}

// readFile reads the part of the URL of a store in process that is in front of the query.
func (s *Store) readFile(file string) error {
	file, err := url.PathUnescape(file)
	if err != nil {
		return errors.New("a % in a file's name is written as %25")
	}
	s.Domain = s.Options[domainOption]
	delete(s.Options, domainOption)
	if s.Backend != bolt.Name {
		if file != "" {
			return fmt.Errorf("a store in memory has no name: use %s:", s.Scheme)
		}
		return nil
	}
	if _, twice := s.Options[bolt.Path]; file == "" || twice {
		return fmt.Errorf("the file of a bolt store comes after the colon: use %s:FILE", s.Scheme)
	}
	s.Options[bolt.Path] = file
	return nil
}

// readServers reads //user@host:port,host:port/domain.
func (s *Store) readServers(rest string, kind scheme) error {
	rest, found := strings.CutPrefix(rest, "//")
	if !found {
		return fmt.Errorf("the scheme %s is followed by //: use %s://HOST:PORT/DOMAIN", s.Scheme, s.Scheme)
	}
	hosts, domain, _ := strings.Cut(rest, "/")
	var err error
	if s.Domain, err = url.PathUnescape(domain); err != nil {
		return errors.New("a % in a domain is written as %25")
	}
	if i := strings.LastIndexByte(hosts, '@'); i >= 0 {
		if err := s.readUser(hosts[:i]); err != nil {
			return err
		}
		hosts = hosts[i+1:]
	}
	if hosts == "" {
		if _, said := s.Options[kvdb.TransportScheme]; kind.tls != "" && !said {
			s.Options[kvdb.TransportScheme] = kind.tls
		}
		return nil
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" {
			return errors.New("a host is missing in the list of hosts: use HOST:PORT,HOST:PORT")
		}
		s.Endpoints = append(s.Endpoints, kind.endpoint+"://"+host)
	}
	return nil
}

// readUser reads the part in front of the @.
func (s *Store) readUser(user string) error {
	if strings.Contains(user, ":") {
		return fmt.Errorf("a password does not belong in a URL: add ?%s=file:PATH, env:VARIABLE or cmd:COMMAND", kvdb.PasswordKey)
	}
	name, err := url.PathUnescape(user)
	if err != nil || name == "" {
		return errors.New("the name of the user in front of @ must not be empty, and a % in it is written as %25")
	}
	if s.has(kvdb.UsernameKey) {
		return fmt.Errorf("the user is in the URL twice: in front of @ and as option %s", kvdb.UsernameKey)
	}
	s.Options[kvdb.UsernameKey] = name
	return nil
}

// String returns the URL. Parse of it returns an equal store.
func (s Store) String() string {
	var b strings.Builder
	b.WriteString(s.Scheme + ":")
	query := map[string]string{}
	maps.Copy(query, s.Options)
	maps.Copy(query, s.Secrets)
	if kind := schemes[s.Scheme]; kind.endpoint == "" {
		b.WriteString(escape(query[bolt.Path], "/"))
		delete(query, bolt.Path)
		if s.Domain != "" {
			query[domainOption] = s.Domain
		}
	} else {
		b.WriteString("//")
		if user := query[kvdb.UsernameKey]; user != "" {
			b.WriteString(escape(user, "") + "@")
			delete(query, kvdb.UsernameKey)
		}
		for i, endpoint := range s.Endpoints {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.TrimPrefix(endpoint, kind.endpoint+"://"))
		}
		if s.Domain != "" {
			b.WriteString("/" + escape(s.Domain, "/"))
		}
	}
	separator := byte('?')
	for _, name := range slices.Sorted(maps.Keys(query)) {
		b.WriteByte(separator)
		b.WriteString(escape(name, "") + "=" + escape(query[name], "/:"))
		separator = '&'
	}
	return b.String()
}

// escape escapes all but letters, digits, -, _, ., ~ and the characters of keep.
func escape(text, keep string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~"+keep, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
