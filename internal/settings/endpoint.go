package settings

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// Endpoint is the address of a server.
type Endpoint struct {
	Host, Port string // an IPv6 address has no brackets
	Path       string // the prefix of all paths, not escaped, without a / at its end

	scheme string
	given  string // the endpoint as the caller wrote it
	said   mode   // whether its scheme means TLS
}

// Address returns host:port for net.Dial.
func (e Endpoint) Address() string { return net.JoinHostPort(e.Host, e.Port) }

// Scheme returns the scheme of the URL.
func (e Endpoint) Scheme() string { return e.scheme }

// URL returns the endpoint as a URL.
func (e Endpoint) URL() string {
	path := url.URL{Path: e.Path}
	return e.scheme + "://" + strings.ReplaceAll(e.Address(), "%", "%25") + path.EscapedPath()
}

// URLs returns endpoints as URLs.
func URLs(endpoints []Endpoint) []string {
	urls := make([]string, len(endpoints))
	for i, e := range endpoints {
		urls[i] = e.URL()
	}
	return urls
}

// parse reads one endpoint. It has a host, and may have a scheme that the store knows, a port,
// and, if the store allows it, a path.
func (s Store) parse(given string) (Endpoint, error) {
	e := Endpoint{given: given}
	if given == "" {
		return e, errors.New("must not be empty")
	}
	if strings.ContainsFunc(given, unicode.IsControl) {
		return e, errors.New("must not have control characters")
	}
	rest := given
	scheme, behind, found := strings.Cut(given, "://")
	if found {
		var known bool
		if e.said, known = s.schemeMode(scheme); !known {
			return e, fmt.Errorf("the scheme must be %s", s.schemes())
		}
		rest = behind
	}
	if strings.ContainsAny(rest, "?#") {
		return e, errors.New("must not have a query or a fragment")
	}
	end := len(rest)
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		end = i
	}
	if _, known := s.schemeMode(strings.TrimSuffix(rest[:end], ":")); known && !found && end < len(rest) {
		return e, errors.New("a scheme must be followed by ://")
	}
	var err error
	if e.Path, err = url.PathUnescape(rest[end:]); err != nil {
		return e, err
	}
	e.Path = strings.TrimRight(e.Path, "/")
	switch {
	case e.Path != "" && !s.path:
		return e, errors.New("must not have a path")
	case strings.Contains(e.Path, "//"):
		return e, errors.New("must not have an empty component in its path")
	}
	e.Host, e.Port, err = splitHostPort(rest[:end])
	return e, err
}

// splitHostPort returns the host and the port of host, host:port, [IPv6],
// [IPv6]:port or IPv6. The port may be missing.
func splitHostPort(address string) (host, port string, err error) {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
		return address, "", checkZone(ip)
	}
	host, port, _ = strings.Cut(address, ":")
	if strings.HasPrefix(address, "[") {
		inside, behind, closed := strings.Cut(address[1:], "]")
		host = strings.Replace(inside, "%25", "%", 1) // in URLs the % in front of a zone is escaped
		ip, err := netip.ParseAddr(host)
		if !closed || err != nil || !ip.Is6() {
			return "", "", errors.New("a host that begins with [ must be an IPv6 address in brackets")
		}
		if err := checkZone(ip); err != nil {
			return "", "", err
		}
		port = strings.TrimPrefix(behind, ":")
		if behind != "" && port == behind {
			return "", "", errors.New("only a port may follow an IPv6 address")
		}
	} else if err := checkHost(host); err != nil {
		return "", "", err
	}
	if port == "" {
		return host, "", nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", "", fmt.Errorf("the port %q is not a number from 0 to 65535", port)
	}
	return host, strconv.FormatUint(n, 10), nil
}

// checkHost returns an error if host is neither a host name nor an IPv4 address.
func checkHost(host string) error {
	if host == "" {
		return errors.New("must name a host")
	}
	isLetter := func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }
	isPart := func(c rune) bool { return isLetter(c) || unicode.IsMark(c) || strings.ContainsRune("-_.", c) }
	if strings.ContainsFunc(host, func(c rune) bool { return !isPart(c) }) || !strings.ContainsFunc(host, isLetter) {
		return fmt.Errorf("%q is not a host name or an IP address", host)
	}
	if strings.Contains(host, ".") && strings.Trim(host, "0123456789.") == "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("%q is not an IPv4 address", host)
		}
	}
	return nil
}

// checkZone returns an error if the zone of an address is not the name of a network interface.
func checkZone(ip netip.Addr) error {
	if strings.ContainsFunc(ip.Zone(), func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("-_.", c)
	}) {
		return fmt.Errorf("%q is not the name of a network interface", ip.Zone())
	}
	return nil
}
