package etcdv3

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// hanging answers reads, and holds writes until their context ends.
type hanging struct {
	pb.UnimplementedKVServer
	begun chan bool     // has for each write whether it came with a deadline
	ended chan struct{} // has an element for each write that ended
}

func (h *hanging) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}}, nil
}

func (h *hanging) Put(ctx context.Context, _ *pb.PutRequest) (*pb.PutResponse, error) {
	_, has := ctx.Deadline()
	h.begun <- has
	<-ctx.Done()
	h.ended <- struct{}{}
	return nil, ctx.Err()
}

// A request that its caller gives up also ends at the server, although the deadline
// is not sent with it.
func TestRequestEndsAtServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, h := grpc.NewServer(), &hanging{begun: make(chan bool, 1), ended: make(chan struct{}, 1)}
	pb.RegisterKVServer(server, h)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	kv, err := New("d", []string{listener.Addr().String()}, nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	for _, end := range []func() (context.Context, context.CancelFunc){
		func() (context.Context, context.CancelFunc) { return contextWithTimeout(t, 100*time.Millisecond) },
		func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		ctx, cancel := end()
		_, err = kvdb.WithContext(ctx, kv).Put("key", "value", 0)
		require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
		require.ErrorIs(t, err, ctx.Err())
		require.False(t, receive(t, h.begun, "the request"))
		receive(t, h.ended, "the end of the request")
		cancel()
	}
}

// losing lets the first request of a method run and loses its reply. The caller gets
// the error of a proxy that gives up, or the end of the connection.
func losing(method string, code codes.Code) dialOption {
	var lost atomic.Bool
	return grpc.WithChainUnaryInterceptor(func(ctx context.Context, m string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(ctx, m, req, reply, cc, opts...)
		if strings.HasSuffix(m, "/"+method) && lost.CompareAndSwap(false, true) && err == nil {
			return status.Error(code, "there is no answer")
		}
		return err
	})
}

// A write whose reply is lost is sent once, whether a proxy or the connection lost
// it.
func TestAnswerIsLost(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	for _, code := range []codes.Code{codes.Unavailable, codes.Canceled, codes.DeadlineExceeded} {
		for method, call := range map[string]func(kvdb.Kvdb) error{
			"Put":         func(kv kvdb.Kvdb) error { _, err := kv.Put("key", "new", 0); return err },
			"DeleteRange": func(kv kvdb.Kvdb) error { _, err := kv.Delete("key"); return err },
			"Txn":         func(kv kvdb.Kvdb) error { _, err := kv.Update("key", "new", 0); return err },
		} {
			t.Run(fmt.Sprint(method, code), func(t *testing.T) {
				requests := &counter{}
				_, err := instance(t, cluster, "d", nil).Put("key", "value", 0)
				require.NoError(t, err)
				kv := instance(t, cluster, "d", nil, losing(method, code), grpc.WithChainUnaryInterceptor(requests.intercept))
				require.ErrorIs(t, call(kv), kvdb.ErrUnknownOutcome)
				require.Equal(t, 1, requests.take()[method])
			})
		}
	}
}

// noisy is a connection that reports when something is sent.
type noisy struct {
	net.Conn
	sent chan<- struct{}
}

func (c noisy) Write(p []byte) (int, error) {
	select {
	case c.sent <- struct{}{}:
	default:
	}
	return c.Conn.Write(p)
}

// Nothing is sent on a connection that is not in use, because etcd closes a
// connection with such pings ("too_many_pings").
func TestIdleConnection(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	sent := make(chan struct{}, 1)
	kv := instance(t, cluster, "d", nil, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		return noisy{conn, sent}, err
	}))
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	receive(t, sent, "the request")
	silent := func(d time.Duration) bool {
		select {
		case <-sent:
			return false
		case <-time.After(d):
			return true
		}
	}
	eventually(t, "the connection does not become idle", func() bool { return silent(time.Second) })
	require.True(t, silent(pingSilence+2*time.Second), "a ping was sent")
	_, err = kv.Get("key")
	require.NoError(t, err)
	receive(t, sent, "the request on the same connection")
}
