package etcdv2

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/common"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/observed"
	"github.com/portworx/kvdb/internal/option"
	"github.com/portworx/kvdb/internal/settings"
)

const (
	// openTimeout bounds New.
	openTimeout = 8 * time.Second
	// dialTimeout bounds how long a connection may take to be made.
	dialTimeout = 3 * time.Second
	// keepAliveTime is how long a connection can be dead before that is detected. A watch
	// without events needs a history of twice that time, see settleTime.
	keepAliveTime = 8 * time.Second
	// idleConns is how many connections to a member are kept for later requests.
	idleConns = 128
)

// keepAlive ends a connection that has been dead for keepAliveTime, because a watch does
// not notice that events are missing.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: keepAliveTime / 4, Interval: keepAliveTime / 4, Count: 3}

// wrapper wraps the transport of all requests; nil for none.
type wrapper func(http.RoundTripper) http.RoundTripper

var declared = option.Declare("etcd v2",
	option.StoreLogin, option.Consistency, option.Retries(strconv.Itoa(common.DefaultRetryCount)), option.Transport,
	lockTTLs.Option())

// open returns a store after etcd has answered.
func open(domain string, endpoints []string, options map[string]string, wrap wrapper) (*store, error) {
	options = declared.Of(options)
	user, password, err := option.Login(options)
	if err != nil {
		return nil, err
	}
	read, err := settings.Etcd2.Read(endpoints, options)
	if err != nil {
		return nil, err
	}
	lockTTL, _, err := lockTTLs.Read(options)
	if err != nil {
		return nil, err
	}
	// It does not bound the number of connections, because watches occupy some and must
	// not delay other calls.
	transport := &http.Transport{
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     time.Minute,
	}
	hooks := &driver.Hooks{}
	p := &pool{
		Pool: call.NewPool[*member](call.Policy{
			Limit: driver.CallTimeout, Retries: read.Retries, Backoff: newBackoff(), Hooks: hooks, Backend: Name,
		}),
		base: transport, transport: transport, user: user, password: password, secure: read.TLS != nil,
	}
	transport.DialContext = p.dial
	read.TLS.Secure(transport)
	observed.Transport(hooks, Name, transport)
	if wrap != nil {
		p.base = wrap(transport)
	}
	if err := p.replace(read.Endpoints, read.Given); err != nil {
		return nil, err
	}
	s := newStore(p, read.Stale, lockTimes.Fit(lockTTL), hooks)
	ctx, cancel := driver.WithTimeLimit(context.Background(), openTimeout)
	defer cancel()
	err = p.first(ctx)
	if err == nil && user != "" {
		err = s.login(ctx, domain)
	}
	if err != nil {
		if errors.Is(err, client.ErrInvalidJSON) {
			err = fmt.Errorf("%w: the server has no v2 API: %w", kvdb.ErrNoConnection, err)
		}
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

// login checks whether etcd accepts the user and password. etcd answers the same when the
// user has no permission, so login makes a request for which he has permission, in the
// domain or at loginPath.
func (s *store) login(ctx context.Context, domain string) error {
	var err error
	for _, path := range []string{loginPath(s.pool.user), "/" + domain + "/" + noKey} {
		_, err = s.get(ctx, path, client.GetOptions{Quorum: true})
		if codeOf(err) != client.ErrorCodeUnauthorized {
			break
		}
	}
	if err == nil || isMissing(err) {
		return nil
	}
	if codeOf(err) == client.ErrorCodeUnauthorized {
		return fmt.Errorf("%w: as %q: %v", kvdb.ErrLogin, s.pool.user, err) // not kvdb.ErrPermission
	}
	return fmt.Errorf("log in as %q: %w", s.pool.user, err)
}
