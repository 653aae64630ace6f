package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
)

// One of three daemons leads. When it ends, another one leads, with a larger token.
func TestTakeOver(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	kv, err := kvdb.New(etcdv3.Name, "example/leader", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	work, err := kvdb.Events(ctx, kv, "work", 0)
	require.NoError(t, err)
	ends, done := map[string]context.CancelFunc{}, make(chan error, 3)
	for i := range 3 {
		name := fmt.Sprint("daemon-", i)
		daemon, end := context.WithCancel(ctx)
		ends[name] = end
		go func() { done <- run(daemon, name, cluster.Endpoints()) }()
	}
	leader, last := "", uint64(0)
	for pair, err := range work {
		require.NoError(t, err)
		var n, token uint64
		var name string
		_, err := fmt.Sscanf(strings.ReplaceAll(string(pair.Value), ",", " ,"), "piece %d by %s , token %d", &n, &name, &token)
		require.NoError(t, err, string(pair.Value))
		if name == leader {
			require.Equal(t, last, token)
			continue
		}
		require.Greater(t, token, last)
		leader, last = name, token
		require.Contains(t, ends, leader)
		ends[leader]()
		delete(ends, leader)
		if len(ends) == 0 {
			break
		}
	}
	for range 3 {
		require.NoError(t, <-done)
	}
}
