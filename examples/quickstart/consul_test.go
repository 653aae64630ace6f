package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/consul"
	"github.com/portworx/kvdb/test/servers"
)

func TestTourOfConsul(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{Members: 3})
	var w strings.Builder
	err := run(t.Context(), &w, []string{"-backend", consul.Name, "-endpoints", strings.Join(cluster.Endpoints(), ",")})
	require.NoError(t, err, w.String())
	require.Contains(t, w.String(), "All as expected")
}
