package storeurl

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	none := map[string]string{}
	for given, want := range map[string]Store{
		"etcd://h:1,h2/a/b?RetryCount=3": {"etcd", "etcdv3-kv", "a/b", []string{"http://h:1", "http://h2"},
			map[string]string{"RetryCount": "3"}, none},
		"ETCDS://me@[::1]:2,::1//a/": {"etcds", "etcdv3-kv", "/a/", []string{"https://[::1]:2", "https://::1"},
			map[string]string{"Username": "me"}, none},
		"etcd2://h":             {"etcd2", "etcd-kv", "", []string{"http://h"}, none, none},
		"etcd2s:///d":           {"etcd2s", "etcd-kv", "d", nil, map[string]string{"TransportScheme": "https"}, none},
		"consul://h/d%3f?A=%3D": {"consul", "consul-kv", "d?", []string{"http://h"}, map[string]string{"A": "="}, none},
		"consuls://h":           {"consuls", "consul-kv", "", []string{"https://h"}, none, none},
		"zk://u%40v@h":          {"zk", "zookeeper-kv", "", []string{"tcp://h"}, map[string]string{"Username": "u@v"}, none},
		"zks://h?Password=env:PW&ACLToken=cmd:a%20b": {"zks", "zookeeper-kv", "", []string{"tls://h"}, none,
			map[string]string{"Password": "env:PW", "ACLToken": "cmd:a b"}},
		"bolt:/a/b%20c.db?domain=a/b": {"bolt", "bolt-kv", "a/b", nil, map[string]string{"Path": "/a/b c.db"}, none},
		"bolt:demo.db":                {"bolt", "bolt-kv", "", nil, map[string]string{"Path": "demo.db"}, none},
		"mem:?domain=d":               {"mem", "kv-mem", "d", nil, none, none},
	} {
		store, err := Parse(given)
		require.NoError(t, err, given)
		require.Equal(t, want, store, given)
		again, err := Parse(store.String())
		require.NoError(t, err, store.String())
		require.Equal(t, store, again, given)
	}
}

// The error says what would be right, and shows no password.
func TestParseErrors(t *testing.T) {
	const password = "hunter2"
	for given, want := range map[string]string{
		"":                          "a store is a URL such as",
		"demo.db":                   "a store is a URL such as",
		"me:hunter2@h":              `the scheme "me" of the store is not known: use one of bolt, consul`,
		"/hunter2:":                 "a store is a URL such as",
		"redis://h":                 `"redis" of the store is not known`,
		"etcd:h":                    "use etcd://HOST:PORT/DOMAIN",
		"etcd://h,,h":               "a host is missing",
		"etcd://h,":                 "a host is missing",
		"etcd://me:hunter2@h":       "a password does not belong in a URL: add ?Password=file:PATH",
		"etcd://@h":                 "must not be empty",
		"etcd://me@h?Username=me":   "twice",
		"etcd://h?Password=hunter2": "option Password: a secret does not belong on the command line: use file:PATH",
		"etcd://h?ACLToken=file:":   "a secret does not belong",
		"etcd://h?A=1&A=2":          "option A is in the store's URL twice",
		"etcd://h?A":                "must be Option=value",
		"etcd://h?=1":               "must be Option=value",
		"etcd://h?A=%hunter2":       "two hexadecimal digits",
		"etcd://h/%":                "%25",
		"etcd://h/a#b":              "write # as %23",
		"bolt:":                     "use bolt:FILE",
		"bolt:a?Path=b":             "use bolt:FILE",
		"bolt:%":                    "%25",
		"mem:a":                     "a store in memory has no name: use mem:",
	} {
		_, err := Parse(given)
		require.ErrorContains(t, err, want, given)
		require.NotContains(t, err.Error(), password, given)
		require.NotContains(t, err.Error(), "\n", given)
	}
}

// What Parse accepts is written back so that it means the same, and has no secret.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"etcd://me@h:1,[::1]:2/d?A=b&Password=env:P", "bolt:a%20b?domain=d", "mem:", "zks://", "consul://h//a?x=%26", "etcd://a@b@c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		store, err := Parse(given)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.Contains(t, Schemes(), store.Scheme)
		again, err := Parse(store.String())
		require.NoError(t, err, store.String())
		require.Equal(t, store, again)
		for name, reference := range store.Secrets {
			require.True(t, IsSecret(name))
			require.NoError(t, CheckReference(reference))
		}
		for name := range store.Options {
			require.False(t, IsSecret(name))
		}
		require.False(t, strings.Contains(store.String(), "#"))
	})
}
