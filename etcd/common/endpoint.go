package common

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/portworx/kvdb"
)

// defaultPort is where etcd serves clients.
const defaultPort = kvdb.ClientPort

// Endpoints returns endpoints as URLs, all of one scheme. Those without a scheme
// have that of the options, or of the others. http beside a wish for TLS, and
// https beside http, are errors.
func Endpoints(endpoints []string, tlsEnabled bool) ([]string, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("no endpoint is given")
	}
	secure := tlsEnabled
	for _, endpoint := range endpoints {
		secure = secure || strings.HasPrefix(endpoint, "https://")
	}
	urls := make([]string, len(endpoints))
	for i, endpoint := range endpoints {
		if strings.Contains(endpoint, "@") { // what is before it may be a secret
			return nil, fmt.Errorf("an endpoint has a user in it: the options %s and %s are for that", kvdb.UsernameKey, kvdb.PasswordKey)
		}
		u, err := endpointURL(endpoint, secure)
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", endpoint, err)
		}
		urls[i] = u
	}
	return urls, nil
}

func endpointURL(endpoint string, secure bool) (string, error) {
	if endpoint == "" {
		return "", errors.New("it is empty")
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = scheme + "://" + endpoint
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return "", errors.Unwrap(err)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("the scheme %q is neither http nor https", u.Scheme)
	case u.Scheme != scheme:
		return "", errors.New("it is http, while the options or other endpoints ask for TLS")
	case u.Hostname() == "":
		return "", errors.New("it names no host")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", errors.New("it is more than a scheme, a host and a port")
	}
	host := u.Host
	if u.Port() == "" {
		host = strings.TrimSuffix(host, ":") + ":" + defaultPort
	}
	return u.Scheme + "://" + host, nil
}

// TLS returns the TLS configuration that options ask for, when it is wanted, and
// the user and the password. The errors are those of GetAuthInfoFromOptions.
func TLS(options map[string]string, wanted bool) (config *tls.Config, user, password string, err error) {
	info, user, password, err := NewEtcdCommon(options).GetAuthInfoFromOptions()
	if err != nil || !wanted {
		return nil, user, password, err
	}
	if config, err = info.ClientConfig(); err != nil {
		return nil, "", "", fmt.Errorf("options %s, %s, %s, %s: %w",
			kvdb.CertFileKey, kvdb.CertKeyFileKey, kvdb.TrustedCAFileKey, kvdb.CAFileKey, err)
	}
	config.MinVersion = tls.VersionTLS12
	return config, user, password, nil
}
