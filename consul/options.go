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

var declared = settings.Declare("Consul", []settings.Option{
	{Name: kvdb.ACLTokenKey, Values: "a token", Default: "none", Meaning: "the token of every request; none of the environment is used"},
	{Name: kvdb.UsernameKey, Values: "none", Default: "none", Meaning: "any value is `ErrAuthNotSupported`"},
	{Name: kvdb.PasswordKey, Values: "none", Default: "none", Meaning: "any value is `ErrAuthNotSupported`"},
}, settings.Consistency, settings.Retries("no limit but time; the value has no effect"), settings.Transport)

func parse(endpoints []string, options map[string]string) (config, error) {
	options = declared.Of(options)
	if options[kvdb.UsernameKey] != "" || options[kvdb.PasswordKey] != "" {
		return config{}, kvdb.ErrAuthNotSupported
	}
	read, err := settings.Consul.Read(endpoints, options)
	return config{Settings: read, token: options[kvdb.ACLTokenKey]}, err
}
