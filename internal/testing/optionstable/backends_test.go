package main

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/internal/option"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/zookeeper"
)

// owners has the owners of declared options by the names of backends.
var owners = map[string]string{
	mem.Name: "mem", bolt.Name: "bolt", etcdv2.Name: "etcd v2", etcdv3.Name: "etcd v3",
	consul.Name: "Consul", zookeeper.Name: "ZooKeeper",
}

// open fails before it uses a store, because of ReadConsistency.
func open(backend string, options ...string) error {
	c := kvdb.Config{Backend: backend, Options: map[string]string{kvdb.ReadConsistency: "STALE"}, Strict: true}
	for _, option := range options {
		c.Options[option] = ""
	}
	_, err := kvdb.Open(context.Background(), c)
	return err
}

// Each backend registers the options that are on the page, and no others.
func TestBackendsRegisterTheirOptions(t *testing.T) {
	for _, declared := range option.Declared() {
		for _, option := range declared.List {
			if option.Name == kvdb.ReadConsistency {
				continue
			}
			for backend, owner := range owners {
				err := open(backend, option.Name)
				if declared.Owner == owner || declared.Owner == "every store" || has(owner, option.Name) {
					require.ErrorContains(t, err, kvdb.ReadConsistency, "%s of %s", option.Name, backend)
				} else {
					require.ErrorIs(t, err, kvdb.ErrIllegal, "%s of %s", option.Name, backend)
				}
			}
		}
	}
	for backend := range owners {
		err := open(backend, "ReadConsistancy")
		require.ErrorIs(t, err, kvdb.ErrIllegal)
		require.ErrorContains(t, err, `did you mean "ReadConsistency"?`)
	}
	require.ErrorContains(t, open(mem.Name, kvdb.LogPathOption), string(kvdb.Wrapper_Log))
}

// has reports whether an owner declares an option.
func has(owner, name string) bool {
	for _, declared := range option.Declared() {
		for _, option := range declared.List {
			if declared.Owner == owner && option.Name == name {
				return true
			}
		}
	}
	return false
}

// The error of New begins with the name of the backend, on every backend. The sentinels of
// options come back bare.
func TestErrorsOfNew(t *testing.T) {
	for backend := range owners {
		bad := map[string]string{mem.KvHistory: "0"}
		for _, options := range []map[string]string{{kvdb.ReadConsistency: "STALE"}, bad} {
			_, err := kvdb.New(backend, "", []string{"user@host"}, options, nil)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), backend+": "), "%v", err)
		}
	}
	both := map[string]string{mem.KvSnap: "true", mem.KvUseInterface: "true"}
	user := map[string]string{kvdb.UsernameKey: "user"}
	for backend, c := range map[string]struct {
		options map[string]string
		want    error
	}{
		mem.Name: {both, mem.ErrSnapWithInterfaceNotSupported}, bolt.Name: {both, bolt.ErrSnapWithInterfaceNotSupported},
		etcdv2.Name: {user, kvdb.ErrNoPassword}, etcdv3.Name: {user, kvdb.ErrNoPassword},
		consul.Name: {user, kvdb.ErrAuthNotSupported}, zookeeper.Name: {user, kvdb.ErrNoPassword},
	} {
		_, err := kvdb.New(backend, "", nil, c.options, nil)
		require.True(t, err == c.want, "%s: %v", backend, err)
	}
}
