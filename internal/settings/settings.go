// Package settings reads what New is given: endpoints, TLS, counts, booleans and
// the other options that several backends have. One rule holds for all stores;
// what is particular about one is in a Store.
//
// An error names the option or the endpoint, and says what would be right. It
// never has a password in it.
package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portworx/kvdb"
)

// Store is what is particular about the endpoints and options of a store.
type Store struct {
	// plain and secure are the schemes, in lower case, of endpoints without and
	// with TLS; the first one of each is that of URLs. neutral ones do not say.
	plain, secure, neutral []string
	// port and securePort are those of endpoints that have none.
	port, securePort string
	// local are the hosts of the endpoints when New is given none, urls reports
	// whether these are written as URLs.
	local []string
	urls  bool
	// path allows a path in endpoints.
	path bool
	// login is how to log in, for who tries it with an endpoint.
	login string
	// caAsks: a file of authorities asks for TLS, as a certificate does everywhere.
	caAsks bool
	// schemeWins: where an endpoint or the option TransportScheme has a plain
	// scheme, the files of other options ask for nothing. Elsewhere a client's
	// certificate, and a file of authorities that asks for TLS, is never left
	// unused in silence.
	schemeWins bool
	// retries is the count without the option RetryCount.
	retries int
}

// ZooKeeperPort is where ZooKeeper serves clients.
const ZooKeeperPort = "2181"

const (
	etcdRetries = 60
	byUser      = "options " + kvdb.UsernameKey + " and " + kvdb.PasswordKey + " are for that"
	byToken     = "option " + kvdb.ACLTokenKey + " is for that"
	loopback    = "127.0.0.1"
)

// The stores that are servers.
var (
	Etcd2 = Store{
		plain: []string{"http"}, secure: []string{"https"}, port: kvdb.ClientPort, securePort: kvdb.ClientPort,
		local: []string{loopback}, urls: true, login: byUser, retries: etcdRetries,
	}
	Etcd3 = Store{
		plain: []string{"http"}, secure: []string{"https"}, port: kvdb.ClientPort, securePort: kvdb.ClientPort,
		local: []string{loopback, "::1"}, urls: true, login: byUser, retries: etcdRetries,
	}
	Consul = Store{
		plain: []string{"http"}, secure: []string{"https"}, port: "8500", securePort: "8501",
		local: []string{loopback}, path: true, login: byToken, caAsks: true, schemeWins: true,
	}
	// ZooKeeper has no port of its own for TLS.
	ZooKeeper = Store{
		plain: []string{"tcp", "http"}, secure: []string{"tls", "https"}, neutral: []string{"zk", "zookeeper"},
		port: ZooKeeperPort, securePort: ZooKeeperPort, local: []string{loopback}, login: byUser, caAsks: true,
	}
)

// Settings are what endpoints and options say.
type Settings struct {
	Endpoints []Endpoint
	Given     []string // the endpoints as the caller wrote them, or the default ones
	TLS       *TLS     // nil without TLS
	Stale     bool     // reads need not see the latest writes
	Retries   int      // value of the option RetryCount
}

// URLs returns the endpoints as URLs.
func (s Settings) URLs() []string { return URLs(s.Endpoints) }

// Read returns what endpoints and options say. Without endpoints they are those
// of the store on this machine.
func (s Store) Read(endpoints []string, options map[string]string) (Settings, error) {
	var read Settings
	var err error
	if read.Stale, err = StaleReads(options); err != nil {
		return Settings{}, err
	}
	if read.Retries, err = s.RetryCount(options); err != nil {
		return Settings{}, err
	}
	files, err := ReadTLS(options)
	if err != nil {
		return Settings{}, err
	}
	if read.Endpoints, err = s.parseAll(endpoints); err != nil {
		return Settings{}, err
	}
	secure, err := s.decide(read.Endpoints, options)
	if err != nil {
		return Settings{}, err
	}
	if secure {
		read.TLS = files
	}
	read.Given = slices.Clone(endpoints)
	if len(endpoints) == 0 {
		read.Endpoints, read.Given = s.defaults(secure)
	}
	s.complete(read.Endpoints, secure)
	return read, nil
}

// Replace returns the endpoints that shall replace those of an instance, which
// does or does not use TLS.
func (s Store) Replace(endpoints []string, isSecure bool) ([]Endpoint, error) {
	if len(endpoints) == 0 {
		return nil, fmt.Errorf("%w: no endpoint", kvdb.ErrIllegal)
	}
	parsed, err := s.parseAll(endpoints)
	if err != nil {
		return nil, err
	}
	s.complete(parsed, isSecure)
	return parsed, agree(parsed, modeOf(isSecure), "the instance "+describe(modeOf(isSecure)))
}

// mode is whether TLS is used, if that is said.
type mode int

const (
	unsaid mode = iota
	plain
	secure
)

func modeOf(isSecure bool) mode {
	if isSecure {
		return secure
	}
	return plain
}

func describe(m mode) string {
	if m == secure {
		return "uses TLS"
	}
	return "does not use TLS"
}

// agree returns an error that names the first endpoint whose scheme is not of
// mode m, which is that of other.
func agree(endpoints []Endpoint, m mode, other string) error {
	for _, e := range endpoints {
		if e.said != unsaid && m != unsaid && e.said != m {
			return fmt.Errorf("endpoint %q %s, but %s", e.given, describe(e.said), other)
		}
	}
	return nil
}

// decide reports whether TLS is used. Endpoints and the option TransportScheme
// must not contradict each other.
func (s Store) decide(endpoints []Endpoint, options map[string]string) (bool, error) {
	scheme, err := s.transport(options)
	if err != nil {
		return false, err
	}
	if err := agree(endpoints, scheme, fmt.Sprintf("option %s is %q", kvdb.TransportScheme, options[kvdb.TransportScheme])); err != nil {
		return false, err
	}
	said := scheme
	if i := slices.IndexFunc(endpoints, func(e Endpoint) bool { return e.said != unsaid }); i >= 0 {
		said = endpoints[i].said
		if err := agree(endpoints, said, fmt.Sprintf("endpoint %q %s", endpoints[i].given, describe(said))); err != nil {
			return false, err
		}
	}
	asking := s.asking(options)
	if said == secure || asking == "" || said == plain && s.schemeWins {
		return said == secure || said == unsaid && asking != "", nil
	}
	return true, agree(endpoints, secure, asking+" asks for TLS")
}

// asking returns a file that asks for TLS, by the name of its option, or "".
func (s Store) asking(options map[string]string) string {
	switch {
	case options[kvdb.CertFileKey] != "" && options[kvdb.CertKeyFileKey] != "":
		return "option " + kvdb.CertFileKey
	case s.caAsks && options[kvdb.TrustedCAFileKey] != "":
		return "option " + kvdb.TrustedCAFileKey
	case s.caAsks && options[kvdb.CAFileKey] != "":
		return "option " + kvdb.CAFileKey
	}
	return ""
}

// AsksForTLS reports whether options ask for TLS, whatever the endpoints say. The
// error names an option TransportScheme that the store does not know.
func (s Store) AsksForTLS(options map[string]string) (bool, error) {
	scheme, err := s.transport(options)
	return scheme == secure || s.asking(options) != "" && !(scheme == plain && s.schemeWins), err
}

// transport returns what the option TransportScheme says.
func (s Store) transport(options map[string]string) (mode, error) {
	value := options[kvdb.TransportScheme]
	if value == "" {
		return unsaid, nil
	}
	m, known := s.schemeMode(strings.TrimSuffix(value, "://"))
	if !known {
		return unsaid, fmt.Errorf("option %s: %q is not %s", kvdb.TransportScheme, value, s.schemes())
	}
	return m, nil
}

// schemeMode returns what a scheme says, and false for one that the store does
// not know.
func (s Store) schemeMode(scheme string) (mode, bool) {
	scheme = strings.ToLower(scheme)
	switch {
	case slices.Contains(s.plain, scheme):
		return plain, true
	case slices.Contains(s.secure, scheme):
		return secure, true
	}
	return unsaid, slices.Contains(s.neutral, scheme)
}

// schemes names those that the store knows.
func (s Store) schemes() string {
	return strings.Join(slices.Concat(s.plain, s.secure, s.neutral), " or ")
}

// defaults are the endpoints of the store on this machine, and how they are
// written.
func (s Store) defaults(secure bool) (endpoints []Endpoint, given []string) {
	for _, host := range s.local {
		endpoints = append(endpoints, Endpoint{Host: host})
	}
	s.complete(endpoints, secure)
	for _, e := range endpoints {
		if s.urls {
			given = append(given, e.URL())
		} else {
			given = append(given, e.Address())
		}
	}
	return endpoints, given
}

// complete adds what endpoints leave out.
func (s Store) complete(endpoints []Endpoint, isSecure bool) {
	for i := range endpoints {
		e := &endpoints[i]
		e.scheme = s.plain[0]
		port := s.port
		if isSecure {
			e.scheme, port = s.secure[0], s.securePort
		}
		if e.Port == "" {
			e.Port = port
		}
	}
}

func (s Store) parseAll(endpoints []string) ([]Endpoint, error) {
	parsed := make([]Endpoint, len(endpoints))
	for i, given := range endpoints {
		if strings.Contains(given, "@") || strings.Contains(given, "%40") { // what is before it may be a secret
			return nil, fmt.Errorf("endpoint %d has a user in it: %s", i+1, s.login)
		}
		e, err := s.parse(given)
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", shown(given), err)
		}
		parsed[i] = e
	}
	return parsed, nil
}

// shown returns what of an endpoint may be shown: a query can have a token in it.
func shown(endpoint string) string {
	if i := strings.IndexAny(endpoint, "?#"); i >= 0 {
		return endpoint[:i+1] + "…"
	}
	return endpoint
}
