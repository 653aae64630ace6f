package consul

import (
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/internal/option"
	"github.com/portworx/kvdb/internal/settings"
)

var declared = option.Declare("Consul", []option.Option{
	{Name: kvdb.ACLTokenKey, Values: "a token", Default: "none", Meaning: "the token of every request; none of the environment is used"},
	{Name: kvdb.UsernameKey, Values: "none", Default: "none", Meaning: "any value is `ErrAuthNotSupported`"},
	{Name: kvdb.PasswordKey, Values: "none", Default: "none", Meaning: "any value is `ErrAuthNotSupported`"},
}, option.Consistency, option.Retries("no limit but time; the value has no effect"), option.Transport, lockTTLs.Option())

// config is the content of endpoints and options.
type config struct {
	conn.Config
	lockTTL time.Duration
}

func parse(endpoints []string, options map[string]string) (config, error) {
	options = declared.Of(options)
	if options[kvdb.UsernameKey] != "" || options[kvdb.PasswordKey] != "" {
		return config{}, kvdb.ErrAuthNotSupported
	}
	lockTTL, _, err := lockTTLs.Read(options)
	if err != nil {
		return config{}, err
	}
	read, err := settings.Consul.Read(endpoints, options)
	return config{conn.Config{Settings: read, Token: options[kvdb.ACLTokenKey]}, lockTTL}, err
}
