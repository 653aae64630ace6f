// Package settings reads the arguments of New: endpoints, and the options that several
// backends have. The rules are the same for all stores; a Store has the differences.
//
// An error names the option or the endpoint, and the values that are right. It never
// contains a password.
package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/option"
)

// Store has the rules for endpoints and options that differ between stores.
type Store struct {
	// plain and secure are the schemes, in lower case, of endpoints without and with
	// TLS. URLs have the first one of each. The schemes in neutral leave that open.
	plain, secure, neutral []string
	// port and securePort are the default ports.
	port, securePort string
	// local are the hosts of the default endpoints. urls means that these are written as
	// URLs.
	local []string
	urls  bool
	// path allows a path in endpoints.
	path bool
	// login says how to log in, for the error of an endpoint with a user.
	login string
	// caAsks means that a file of authorities turns TLS on. A certificate of the client
	// does so for every store.
	caAsks bool
	// schemeWins means that a plain scheme, in an endpoint or the option TransportScheme,
	// turns TLS off even if there are such files. For other stores that is an error,
	// because the files would not be used.
	schemeWins bool
	// retries is the default of the option RetryCount.
	retries int
}

// ZooKeeperPort is the port on which ZooKeeper serves clients.
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

// Settings are the values of the endpoints and options.
type Settings struct {
	Endpoints []Endpoint
	Given     []string // the endpoints as the caller wrote them, or the default ones
	TLS       *TLS     // nil without TLS
	Stale     bool     // reads need not see the latest writes
	Retries   int      // the value of the option RetryCount
}

// URLs returns the endpoints as URLs.
func (s Settings) URLs() []string { return URLs(s.Endpoints) }

// Read returns the values of the endpoints and options. The default endpoints are those of
// the store on this machine.
func (s Store) Read(endpoints []string, options map[string]string) (Settings, error) {
	var read Settings
	var err error
	if read.Stale, err = option.StaleReads(options); err != nil {
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

// Replace reads endpoints that replace those of an instance, which uses TLS if isSecure.
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

// mode is whether TLS is used: plain, secure, or unsaid if a scheme leaves that open.
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

// agree returns an error that names the first endpoint whose scheme contradicts m. other
// describes the origin of m.
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

// asking returns "option" and the name of an option whose file turns TLS on, or "".
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

// AsksForTLS reports whether the options alone, without the endpoints, turn TLS on. It
// returns an error if the store does not know the option's TransportScheme.
func (s Store) AsksForTLS(options map[string]string) (bool, error) {
	scheme, err := s.transport(options)
	return scheme == secure || s.asking(options) != "" && !(scheme == plain && s.schemeWins), err
}

// transport returns the mode of the option TransportScheme.
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

// schemeMode returns the mode of a scheme, and false if the store does not know the scheme.
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

// schemes lists the schemes that the store knows, for errors.
func (s Store) schemes() string {
	return strings.Join(slices.Concat(s.plain, s.secure, s.neutral), " or ")
}

// defaults returns the endpoints of the store on this machine, and their texts.
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

// complete sets the schemes, and the missing ports, of endpoints.
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
		if strings.Contains(given, "@") || strings.Contains(given, "%40") { // it may contain a password
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

// shown returns an endpoint without its query, which may contain a token.
func shown(endpoint string) string {
	if i := strings.IndexAny(endpoint, "?#"); i >= 0 {
		return endpoint[:i+1] + "…"
	}
	return endpoint
}

// RetryCount returns the value of the option kvdb.RetryCountKey, or the default of the store.
func (s Store) RetryCount(options map[string]string) (int, error) {
	return option.Count(options, kvdb.RetryCountKey, 0, s.retries)
}
