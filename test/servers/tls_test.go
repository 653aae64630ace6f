package servers_test

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

func TestTLS(t *testing.T) {
	each(t, servers.Options{Members: 3, TLS: true}, func(b *bench) {
		m := b.leader()
		b.put(m, "first")
		b.NoError(m.Kill())
		b.NoError(m.Start())
		b.has(m, "first")

		config := clientConfig(b.t, b.c.CA, servers.Leaf{})
		b.NoError(handshake(b.t, m, &tls.Config{RootCAs: config.RootCAs}), "without a certificate")
		other, err := servers.NewCA(b.t.TempDir())
		b.NoError(err)
		stranger := clientConfig(b.t, other, servers.Leaf{})
		b.ErrorContains(handshake(b.t, m, stranger), "unknown authority")
	})
}

func TestClientCertAuth(t *testing.T) {
	each(t, servers.Options{ClientCertAuth: true}, func(b *bench) {
		m := b.leader()
		b.put(m, "first")
		good := clientConfig(b.t, b.c.CA, servers.Leaf{})
		b.NoError(handshake(b.t, m, good))
		b.Error(handshake(b.t, m, &tls.Config{RootCAs: good.RootCAs}), "no certificate")
		expired := clientConfig(b.t, b.c.CA, servers.Leaf{NotAfter: time.Now().Add(-time.Hour)})
		b.Error(handshake(b.t, m, expired))
		other, err := servers.NewCA(b.t.TempDir())
		b.NoError(err)
		forged := clientConfig(b.t, other, servers.Leaf{})
		forged.RootCAs = good.RootCAs
		b.Error(handshake(b.t, m, forged))
	})
}

func TestServerLeaf(t *testing.T) {
	bad := servers.Leaf{NotAfter: time.Now().Add(-time.Hour)}
	each(t, servers.Options{TLS: true, ServerLeaf: bad}, func(b *bench) {
		config := clientConfig(b.t, b.c.CA, servers.Leaf{})
		b.ErrorContains(handshake(b.t, b.leader(), config), "expired")
	})
}

// handshake connects and returns what either side has against it.
func handshake(t *testing.T, m *servers.Member, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", hostPort(m))
	if err != nil {
		return err
	}
	defer conn.Close()
	// In TLS 1.3 a client learns only with the first read that it was refused.
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(glimpse)))
	_, err = conn.Read(make([]byte, 1))
	if timeout, ok := err.(interface{ Timeout() bool }); ok && timeout.Timeout() {
		return nil
	}
	return err
}
