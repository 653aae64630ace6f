package etcdv3

import (
	"testing"

	"github.com/portworx/kvdb/internal/testing/security"
	"github.com/portworx/kvdb/test/servers"
)

func TestRenewedCertificate(t *testing.T) {
	t.Parallel() // it mostly waits
	security.ClientCertificate(t, New, servers.Etcd(t, servers.Options{ClientCertAuth: true}))
}

func TestRotatedAuthorities(t *testing.T) {
	t.Parallel()
	security.Authorities(t, New, servers.Etcd(t, servers.Options{TLS: true}))
}
