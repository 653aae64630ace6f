package zookeeper

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
)

// openTimeout bounds New.
const openTimeout = 8 * time.Second

// settings are what the options say.
type settings struct {
	credentials []byte // for digest authentication, or nil
	acl         []zk.ACL
	stale       bool
	retries     int
	tls         *tls.Config // or nil
}

// open connects to ZooKeeper and returns when it has a session.
func open(endpoints []string, options map[string]string) (*store, error) {
	o, err := parse(options)
	if err != nil {
		return nil, err
	}
	servers, err := parseServers(endpoints)
	if err != nil {
		return nil, err
	}
	s := &store{acl: o.acl, stale: o.stale, retries: o.retries, endpoints: endpoints}
	s.counts.known = map[int]int32{}
	s.lifetime, s.end = context.WithCancelCause(context.Background())
	s.leases.start(s)
	s.servers.set(servers)
	s.hub = newHub(s, o)
	cfg := clientConfig{servers: &s.servers, sessionTimeout: sessionTimeout, tls: o.tls, told: s.leases.told}
	if s.main, err = connect(cfg, o.credentials); err != nil {
		return nil, err
	}
	s.launch(s.leases.keepAlive)
	ctx, cancel := driver.WithTimeLimit(context.Background(), openTimeout)
	defer cancel()
	if err := s.peek(ctx, func(c *zk.Conn) error { _, _, err := c.Exists("/"); return err }); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to ZooKeeper at %q: %w", endpoints, err), s.Close(ctx))
	}
	return s, nil
}

func parse(options map[string]string) (settings, error) {
	o := settings{acl: zk.WorldACL(zk.PermAll)}
	user, password := options[kvdb.UsernameKey], options[kvdb.PasswordKey]
	switch {
	case user != "" && password == "":
		return o, kvdb.ErrNoPassword
	case user == "" && password != "":
		return o, fmt.Errorf("option %s: it is there without %s", kvdb.PasswordKey, kvdb.UsernameKey)
	case strings.Contains(user, ":"):
		return o, fmt.Errorf("option %s: ZooKeeper takes no colon in a name", kvdb.UsernameKey)
	case user != "":
		o.credentials = []byte(user + ":" + password)
		o.acl = zk.DigestACL(zk.PermAll, user, password)
	}
	var err error
	if o.stale, err = driver.StaleReads(options); err != nil {
		return o, err
	}
	if value := options[kvdb.RetryCountKey]; value != "" {
		if o.retries, err = strconv.Atoi(value); err != nil || o.retries < 0 {
			return o, fmt.Errorf("option %s: %q is no number of times", kvdb.RetryCountKey, value)
		}
	}
	o.tls, err = parseTLS(options)
	return o, err
}

// parseTLS returns nil where no option asks for TLS.
func parseTLS(options map[string]string) (*tls.Config, error) {
	config := &tls.Config{ServerName: options[kvdb.CAAuthAddress]}
	wanted := false
	switch scheme := strings.TrimSuffix(options[kvdb.TransportScheme], "://"); scheme {
	case "", "http", "tcp":
	case "https", "tls":
		wanted = true
	default:
		return nil, fmt.Errorf("option %s: %q is neither https nor http", kvdb.TransportScheme, scheme)
	}
	if value := options[kvdb.InsecureSkipVerify]; value != "" {
		var err error
		if config.InsecureSkipVerify, err = strconv.ParseBool(value); err != nil {
			return nil, fmt.Errorf("option %s: %q is no boolean", kvdb.InsecureSkipVerify, value)
		}
	}
	for _, name := range []string{kvdb.TrustedCAFileKey, kvdb.CAFileKey} {
		file := options[name]
		if file == "" || config.RootCAs != nil {
			continue
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", name, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("option %s: no certificate in %s", name, file)
		}
		wanted = true
	}
	certFile, keyFile := options[kvdb.CertFileKey], options[kvdb.CertKeyFileKey]
	if (certFile == "") != (keyFile == "") {
		return nil, fmt.Errorf("options %s and %s: one is there without the other", kvdb.CertFileKey, kvdb.CertKeyFileKey)
	}
	if certFile != "" {
		certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("options %s and %s: %w", kvdb.CertFileKey, kvdb.CertKeyFileKey, err)
		}
		config.Certificates = []tls.Certificate{certificate}
		wanted = true
	}
	if !wanted {
		return nil, nil
	}
	return config, nil
}
