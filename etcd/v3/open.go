package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/common"
	"github.com/portworx/kvdb/etcd/internal/members"
	"github.com/portworx/kvdb/internal/life"
	"github.com/portworx/kvdb/internal/option"
	"github.com/portworx/kvdb/internal/settings"
)

const (
	// openTimeout bounds the time until the server answers New, leaseTimeout that of the
	// lease which New then asks for if the option kvdb.LockTTLKey is set.
	openTimeout  = 8 * time.Second
	leaseTimeout = 2 * time.Second
	// connectTimeout bounds an attempt to connect to a member, reconnectAfter the wait
	// between two attempts.
	connectTimeout = 3 * time.Second
	reconnectAfter = time.Second
	// A connection in use is pinged after a silence of pingSilence, which is the
	// smallest that gRPC allows, and closed when no answer comes within pingTimeout. A
	// connection that is not in use is pinged when it is used again, because etcd treats
	// earlier pings as an attack.
	pingSilence = 10 * time.Second
	pingTimeout = 3 * time.Second
	// tries is how often the client library sends a request whose login has expired.
	// call.go decides whether a request is sent again for other reasons.
	tries = 3
)

var declared = option.Declare("etcd v3",
	option.StoreLogin, option.Consistency, option.Retries(strconv.Itoa(common.DefaultRetryCount)), option.Transport,
	lockTTLs.Option())

type dialOption = grpc.DialOption

// open connects to etcd and returns a store when etcd has answered.
func open(domain string, endpoints []string, options map[string]string, more ...dialOption) (*store, error) {
	options = declared.Of(options)
	user, password, err := option.Login(options)
	if err != nil {
		return nil, err
	}
	read, err := settings.Etcd3.Read(endpoints, options)
	if err != nil {
		return nil, err
	}
	lockTTL, limited, err := lockTTLs.Read(options)
	if err != nil {
		return nil, err
	}
	urls := read.URLs()
	if domain != "" && !strings.HasSuffix(domain, kvdb.DefaultSeparator) {
		domain += kvdb.DefaultSeparator
	}
	s := &store{
		life:     life.New(),
		callOpts: []grpc.CallOption{grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(math.MaxInt32)},
		domain:   domain, locks: domain + domain, secure: read.TLS != nil, stale: read.Stale,
		attempts: keyed{busy: map[string]chan struct{}{}}, sessionTurn: make(chan struct{}, 1), revoking: make(chan struct{}, maxRevoking), endpoints: read.Given,
		times: sessionTimes.Fit(lockTTL),
	}
	s.calls = s.policy(read.Retries)
	s.Admin = members.NewAdmin(memberAPI{s}, settings.Etcd3, s.secure)
	s.hub = newHub(s)
	s.history.onWentBack = s.hub.wentBack
	more = append([]dialOption{grpc.WithChainUnaryInterceptor(intercept, s.history.intercept, restoreCode)}, more...)
	if s.client, err = connect(clientConfig(urls, counted{transports(read.TLS), &s.history.made, &s.hooks}, more), user, password); err != nil {
		return nil, fmt.Errorf("connect to etcd at %s: %w", strings.Join(urls, ", "), err)
	}
	conn := s.client.ActiveConnection()
	s.kv, s.lease, s.watcher = pb.NewKVClient(conn), pb.NewLeaseClient(conn), pb.NewWatchClient(conn)
	if limited {
		ctx, cancel := driver.WithTimeLimit(context.Background(), leaseTimeout)
		defer cancel()
		if err := s.tryLockTTL(ctx); err != nil {
			return nil, errors.Join(err, s.Close(ctx))
		}
	}
	return s, nil
}

// tryLockTTL returns an error if the server does not grant a lease with the TTL that the option
// kvdb.LockTTLKey asks for.
func (s *store) tryLockTTL(ctx context.Context) error {
	id, err := s.grant(ctx, s.times.TTL, forKeys)
	switch {
	case err == kvdb.ErrTTLNotSupported:
		return fmt.Errorf("option %s: the server's smallest lease is longer than %v, because of its election timeout",
			kvdb.LockTTLKey, s.times.TTL)
	case err != nil:
		return fmt.Errorf("option %s: %w", kvdb.LockTTLKey, err)
	}
	s.discard(ctx, id)
	return nil
}

// transports returns the credentials for connections with or without TLS.
func transports(secured *settings.TLS) credentials.TransportCredentials {
	if secured == nil {
		return insecure.NewCredentials()
	}
	return transport{tls: secured}
}

func clientConfig(urls []string, transports credentials.TransportCredentials, more []dialOption) clientv3.Config {
	more = append([]dialOption{grpc.WithTransportCredentials(transports)}, more...)
	return clientv3.Config{
		Endpoints: urls, Logger: zap.NewNop(), MaxUnaryRetries: tries,
		DialKeepAliveTime: pingSilence, DialKeepAliveTimeout: pingTimeout,
		DialOptions: append([]dialOption{
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{
					BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectAfter,
				},
				MinConnectTimeout: connectTimeout,
			}),
		}, more...),
	}
}

// connect returns a client whose server has answered. It asks without a login first,
// because the error of that request shows at once what is wrong with the connection.
func connect(cfg clientv3.Config, user, password string) (*clientv3.Client, error) {
	ctx, cancel := driver.WithTimeLimit(context.Background(), openTimeout)
	defer cancel()
	client, err := clientv3.New(cfg)
	if err != nil {
		return nil, err
	}
	err = probe(ctx, client)
	if user == "" {
		if err == nil || errors.Is(err, rpctypes.ErrPermissionDenied) { // The server has answered.
			return client, nil
		}
		return nil, errors.Join(err, client.Close())
	}
	if closeErr := client.Close(); closeErr != nil {
		return nil, errors.Join(err, closeErr)
	}
	if err != nil && !errors.Is(err, rpctypes.ErrUserEmpty) && !errors.Is(err, rpctypes.ErrPermissionDenied) {
		return nil, err
	}
	cfg.Username, cfg.Password = user, password
	deadline, _ := ctx.Deadline()
	cfg.DialTimeout = time.Until(deadline)
	if client, err = clientv3.New(cfg); err != nil {
		if c := code(err); c == codes.DeadlineExceeded || c == codes.Unavailable {
			err = fmt.Errorf("%w: %w", kvdb.ErrNoConnection, err)
		}
		return nil, fmt.Errorf("log in as %q: %w", user, refusal(err))
	}
	return client, nil
}

// probe waits until the server answers a linearizable read. Unlike other requests it
// does not wait for a connection, so its error shows why there is none.
func probe(ctx context.Context, client *clientv3.Client) error {
	kv := pb.NewKVClient(client.ActiveConnection())
	wait := newBackoff()
	for {
		_, err := kv.Range(clientv3.WithRequireLeader(ctx), &pb.RangeRequest{Key: []byte(common.Bootstrap), CountOnly: true})
		switch {
		case err == nil:
			return nil
		case code(rpctypes.Error(err)) != codes.Unavailable && ctx.Err() == nil:
			return refusal(err)
		case isTLSError(err) || wait.Wait(ctx) != nil:
			return fmt.Errorf("%w: %w", kvdb.ErrNoConnection, err)
		}
	}
}

// isTLSError reports whether a connection failed because of TLS, which is permanent.
// gRPC passes on only the text of the errors of crypto/tls and crypto/x509.
func isTLSError(err error) bool {
	return strings.Contains(err.Error(), "x509: ") || strings.Contains(err.Error(), "tls: ")
}
