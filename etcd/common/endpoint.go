package common

import (
	"crypto/tls"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/settings"
)

// Endpoints returns endpoints as URLs, all of one scheme. Those without a scheme
// are https if TLS is wanted, or another one is https. http beside a wish for TLS,
// and https beside http, are errors. Without endpoints they are those of the etcd on
// this machine.
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

// TLS returns the TLS configuration that options ask for, when it is wanted, and
// the user and the password. The errors are those of GetAuthInfoFromOptions.
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
