package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

func TestTourOfZooKeeper(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{})
	var w strings.Builder
	err := run(t.Context(), &w, []string{"-backend", "zookeeper-kv", "-endpoints", strings.Join(cluster.Endpoints(), ",")})
	require.NoError(t, err, w.String())
	require.Contains(t, w.String(), "All as expected")
}
