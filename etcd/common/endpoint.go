package common

import (
	"crypto/tls"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/settings"
)

// Endpoints returns endpoints as URLs of one scheme. Endpoints without a scheme are
// https if TLS is enabled or another endpoint is https. It is an error when TLS is
// enabled and an endpoint is http, or when some endpoints are http and others https.
// Without endpoints, it returns those of an etcd on this machine.
func Endpoints(endpoints []string, tlsEnabled bool) ([]string, error) {
	options := map[string]string{}
	if tlsEnabled {
		options[kvdb.TransportScheme] = "https"
	}
	read, err := settings.Etcd3.Read(endpoints, options)
	if err != nil {
		return nil, err
	}
	return settings.URLs(read.Endpoints), nil
}

// TLS returns the TLS configuration of options, or nil unless it is wanted, and the
// user and the password. The errors are those of GetAuthInfoFromOptions.
func TLS(options map[string]string, wanted bool) (config *tls.Config, user, password string, err error) {
	if _, user, password, err = NewEtcdCommon(options).GetAuthInfoFromOptions(); err != nil || !wanted {
		return nil, user, password, err
	}
	files, err := settings.ReadTLS(options)
	if err != nil {
		return nil, "", "", err
	}
	return files.Config(""), user, password, nil
}
