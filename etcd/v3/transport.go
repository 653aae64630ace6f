package etcdv3

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/portworx/kvdb/internal/settings"
)

// transport secures gRPC's connections. Each handshake has a configuration of its
// own, because certificates and authorities may have been replaced since the last
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
	return nil, nil, errors.New("this is a client")
}

// Info implements credentials.TransportCredentials. It has no server name, because
// that would become the authority of requests.
func (t transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (t transport) Clone() credentials.TransportCredentials { return t }

// OverrideServerName implements credentials.TransportCredentials.
func (t transport) OverrideServerName(string) error {
	return errors.New("the option CAAuthAddress names the server")
}
