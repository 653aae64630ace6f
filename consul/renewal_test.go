package consul

import (
	"testing"

	"github.com/portworx/kvdb/internal/renewal"
	"github.com/portworx/kvdb/test/servers"
)

func TestRenewedCertificate(t *testing.T) {
	t.Parallel() // it mostly waits
	renewal.ClientCertificate(t, New, servers.Consul(t, servers.Options{ClientCertAuth: true}))
}

func TestRotatedAuthorities(t *testing.T) {
	t.Parallel()
	renewal.Authorities(t, New, servers.Consul(t, servers.Options{TLS: true}))
}
