package consul

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
)

const defaultPort, defaultTLSPort = "8500", "8501" // Consul's own

// settings are what the options say.
type settings struct {
	token  string
	scheme string // of addresses that do not name one
	tls    *tls.Config
	stale  bool // reads need not see the latest writes
}

func parse(options map[string]string) (settings, error) {
	o := settings{token: options[kvdb.ACLTokenKey]}
	if options[kvdb.UsernameKey] != "" || options[kvdb.PasswordKey] != "" {
		return o, kvdb.ErrAuthNotSupported
	}
	var err error
	if o.stale, err = driver.StaleReads(options); err != nil {
		return o, err
	}
	if o.tls, err = parseTLS(options); err != nil {
		return o, err
	}
	o.scheme = strings.TrimSuffix(options[kvdb.TransportScheme], "://")
	switch o.scheme {
	case "http", "https":
	case "":
		o.scheme = "http"
		if options[kvdb.CAFileKey] != "" || options[kvdb.CertFileKey] != "" {
			o.scheme = "https"
		}
	default:
		return o, fmt.Errorf("option %s: %q is neither http nor https", kvdb.TransportScheme, o.scheme)
	}
	return o, nil
}

func parseTLS(options map[string]string) (*tls.Config, error) {
	config := &tls.Config{ServerName: options[kvdb.CAAuthAddress]}
	if host, _, err := net.SplitHostPort(config.ServerName); err == nil {
		config.ServerName = host
	}
	if value := options[kvdb.InsecureSkipVerify]; value != "" {
		var err error
		if config.InsecureSkipVerify, err = strconv.ParseBool(value); err != nil {
			return nil, fmt.Errorf("option %s: %q is no boolean", kvdb.InsecureSkipVerify, value)
		}
	}
	if file := options[kvdb.CAFileKey]; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", kvdb.CAFileKey, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("option %s: no certificate in %s", kvdb.CAFileKey, file)
		}
	}
	certFile, keyFile := options[kvdb.CertFileKey], options[kvdb.CertKeyFileKey]
	if (certFile == "") != (keyFile == "") {
		return nil, fmt.Errorf("options %s and %s: one is there without the other", kvdb.CertFileKey, kvdb.CertKeyFileKey)
	}
	if certFile != "" {
		certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("options %s and %s: %w", kvdb.CertFileKey, kvdb.CertKeyFileKey, err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// url returns the scheme, host, port and path that an address stands for.
func (o settings) url(address string) (*url.URL, error) {
	if strings.Contains(address, "@") { // what is before it may be a secret
		return nil, fmt.Errorf("an endpoint has a user in it: the option %s is for that", kvdb.ACLTokenKey)
	}
	full := address
	if !strings.Contains(address, "://") {
		full = o.scheme + "://" + address
	}
	base, err := url.Parse(full)
	switch {
	case err != nil:
		return nil, fmt.Errorf("endpoint %q: %w", address, err)
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("endpoint %q: the scheme is neither http nor https", address)
	case base.Hostname() == "":
		return nil, fmt.Errorf("endpoint %q: %w", address, errors.New("it has no host"))
	}
	if base.Port() == "" {
		port := defaultPort
		if base.Scheme == "https" {
			port = defaultTLSPort
		}
		base.Host = net.JoinHostPort(base.Hostname(), port)
	}
	return base, nil
}
