package etcdv3

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/observed"
	"github.com/portworx/kvdb/internal/settings"
)

// transport is the TLS of gRPC's connections. Each handshake has its own
// configuration, because certificates and CAs may have been replaced since the last
// one.
type transport struct{ tls *settings.TLS }

// ClientHandshake implements credentials.TransportCredentials.
func (t transport) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = authority
	}
	config := t.tls.Config(host)
	return credentials.NewTLS(config).ClientHandshake(ctx, config.ServerName, conn)
}

// ServerHandshake implements credentials.TransportCredentials.
func (t transport) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("etcd v3: the client does not accept connections")
}

// Info implements credentials.TransportCredentials. It returns no server name,
// because gRPC would use it as the authority of requests.
func (t transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (t transport) Clone() credentials.TransportCredentials { return t }

// OverrideServerName implements credentials.TransportCredentials.
func (t transport) OverrideServerName(string) error {
	return errors.New("etcd v3: the option CAAuthAddress sets the server's name")
}

// counted are credentials that count the connections which are made, and tell hooks about
// them. gRPC sends no request over a connection before.
type counted struct {
	credentials.TransportCredentials
	made  *atomic.Int64
	hooks *driver.Hooks
}

// ClientHandshake implements credentials.TransportCredentials.
func (c counted) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if err != nil {
		return nil, nil, err
	}
	c.made.Add(1)
	return observed.Conn(c.hooks, Name, conn.RemoteAddr().String(), conn), info, nil
}

// Clone implements credentials.TransportCredentials.
func (c counted) Clone() credentials.TransportCredentials {
	return counted{c.TransportCredentials.Clone(), c.made, c.hooks}
}
