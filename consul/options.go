package consul

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/settings"
)

// config is what endpoints and options say.
type config struct {
	settings.Settings
	token string
}

func parse(endpoints []string, options map[string]string) (config, error) {
	if options[kvdb.UsernameKey] != "" || options[kvdb.PasswordKey] != "" {
		return config{}, kvdb.ErrAuthNotSupported
	}
	read, err := settings.Consul.Read(endpoints, options)
	return config{Settings: read, token: options[kvdb.ACLTokenKey]}, err
}
