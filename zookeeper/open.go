package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/life"
	"github.com/portworx/kvdb/internal/option"
	"github.com/portworx/kvdb/internal/retry"
	"github.com/portworx/kvdb/internal/settings"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// openTimeout bounds New.
const openTimeout = 8 * time.Second

// config is the content of endpoints and options.
type config struct {
	settings.Settings
	credentials []byte // for digest authentication, or nil
	acl         []zk.ACL
	maxRequest  int // see store
	lockTTL     time.Duration
	limited     bool // lockTTL was asked for
}

// lockTTLs are from 15 s on, so that a tick of 2 s is less than a sixth of the session's
// timeout, see leases. The server has a maximum too.
var lockTTLs = option.LockTTLs{Least: 15, Most: 24 * 60 * 60, Otherwise: int(sessionTimeout / time.Second)}

// open connects to ZooKeeper and returns when there is a session.
func open(endpoints []string, options map[string]string) (*store, error) {
	o, err := parse(endpoints, options)
	if err != nil {
		return nil, err
	}
	s := &store{life: life.New(), acl: o.acl, stale: o.Stale, endpoints: o.Given, secure: o.TLS != nil, maxRequest: o.maxRequest}
	s.calls = call.Policy{
		Retries: cmp.Or(o.Retries, math.MaxInt), Backoff: retry.Backoff{Min: 5 * time.Millisecond, Max: 500 * time.Millisecond},
		Ready: s.reach, Hooks: &s.hooks, Backend: Name,
	}
	s.leases.start(s)
	s.servers.Set(o.Endpoints)
	s.hub = newHub(s, o)
	cfg := conn.Config{
		Servers: &s.servers, SessionTimeout: o.lockTTL, TLS: o.TLS, Credentials: o.credentials, MaxRequest: o.maxRequest,
		Hooks: &s.hooks, Backend: Name, OnEvent: s.leases.onEvent, OnRefused: s.onRefused,
	}
	if s.main, err = conn.Open(cfg); err != nil {
		return nil, err
	}
	s.life.Go(s.leases.keepAlive)
	ctx, cancel := driver.WithTimeLimit(context.Background(), openTimeout)
	defer cancel()
	if err = s.main.Authenticated(ctx); err == nil {
		err = s.peek(ctx, func(c *zk.Conn) error { _, _, err := c.Exists("/"); return err })
	}
	if granted := s.main.Timeout(); err == nil && o.limited && granted != o.lockTTL {
		err = fmt.Errorf("option %s: the server grants a session %v, not %v; see its minSessionTimeout and maxSessionTimeout",
			kvdb.LockTTLKey, granted, o.lockTTL)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to ZooKeeper at %q: %w", o.Given, err), s.Close(ctx))
	}
	return s, nil
}

// declared are the options of this backend.
var declared = option.Declare("ZooKeeper", []option.Option{
	{Name: kvdb.UsernameKey, Values: "a name", Default: "no login",
		Meaning: "digest authentication; what the instance creates is for that user alone, else for everyone"},
	{Name: kvdb.PasswordKey, Values: "a text", Default: "none", Meaning: "the password, required with `Username`"},
	{Name: kvdb.MaxRequestBytesKey, Values: strconv.Itoa(leastMaxRequest) + " or more", Default: strconv.Itoa(defaultMaxRequest),
		Meaning: "the servers' `jute.maxbuffer` in bytes"},
	{Name: kvdb.TransportScheme, Values: "`http`, `tcp`, `https`, `tls`", Default: "what endpoints and files ask for",
		Meaning: "whether TLS is used"},
}, option.Consistency, option.Retries("no limit but time, as with 0"), option.Certificates, lockTTLs.Option())

// parse checks endpoints and options.
func parse(endpoints []string, options map[string]string) (config, error) {
	options = declared.Of(options)
	o := config{acl: zk.WorldACL(zk.PermAll)}
	user, password, err := option.Login(options)
	switch {
	case err != nil:
		return o, err
	case strings.Contains(user, ":"):
		return o, fmt.Errorf("option %s must not contain a colon", kvdb.UsernameKey)
	case user != "":
		o.credentials = []byte(user + ":" + password)
		o.acl = zk.DigestACL(zk.PermAll, user, password)
	}
	if o.maxRequest, err = option.Count(options, kvdb.MaxRequestBytesKey, 1, defaultMaxRequest); err != nil {
		return o, err
	}
	if o.maxRequest < leastMaxRequest {
		return o, fmt.Errorf("option %s must be at least %d, not %d", kvdb.MaxRequestBytesKey, leastMaxRequest, o.maxRequest)
	}
	if o.lockTTL, o.limited, err = lockTTLs.Read(options); err != nil {
		return o, err
	}
	o.Settings, err = settings.ZooKeeper.Read(endpoints, options)
	return o, err
}
