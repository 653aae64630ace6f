package consul

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/internal/settings"
)

var declared = settings.Declare("Consul", []settings.Option{
	{Name: kvdb.ACLTokenKey, Values: "a token", Default: "none", Meaning: "the token of every request; none of the environment is used"},
	{Name: kvdb.UsernameKey, Values: "none", Default: "none", Meaning: "any value is `ErrAuthNotSupported`"},
	{Name: kvdb.PasswordKey, Values: "none", Default: "none", Meaning: "any value is `ErrAuthNotSupported`"},
}, settings.Consistency, settings.Retries("no limit but time; the value has no effect"), settings.Transport)

func parse(endpoints []string, options map[string]string) (conn.Config, error) {
	options = declared.Of(options)
	if options[kvdb.UsernameKey] != "" || options[kvdb.PasswordKey] != "" {
		return conn.Config{}, kvdb.ErrAuthNotSupported
	}
	read, err := settings.Consul.Read(endpoints, options)
	return conn.Config{Settings: read, Token: options[kvdb.ACLTokenKey]}, err
}
