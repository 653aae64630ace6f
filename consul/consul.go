// Package consul is the kvdb backend for Consul.
//
// A write is one transaction, whose reply has the pair's indexes. Reads ask the leader
// in the mode "consistent", unless [kvdb.ReadConsistency] is "stale". Other programs
// that look at the data find this in Consul:
//
//   - A value is a key with flags 0 and no session. A value that is too large for a
//     transaction has random flags, by which its writer recognizes it. Values that
//     earlier releases have written with Create or CompareAndSet have the flags of a lock.
//   - A value with a TTL has the flags ttlFlags and is held by a session of its own
//     whose behavior is to delete. Consul ends such a session between the TTL of the
//     write and one second later (20.5 s after a write with 20 s). When the leader
//     changes in the meantime, Consul begins to count again. If the outcome of a write
//     is not known, its session is left to its TTL, because the write may still run and
//     the end of the session would then delete it.
//   - A lock is a key with the locker's ID as its value and the flags of the locks of
//     Consul's own client. A session that all locks of an instance share holds it. The
//     key is deleted when the lock is released. A lock and a value cannot have the same
//     key. A lock that Consul's client has released, or that an earlier release held
//     when it died, remains as a key with the same flags, the LockIndex of a key that was
//     locked, and no session. It is not a value.
//
// To overwrite a key without reading it, an instance keeps another session, which holds
// a key only within a transaction. It ends half a minute after the last such write.
//
// Needed permissions, where Consul has access control on: key_prefix write on the
// domain, and session_prefix write on the nodes of the endpoints for TTLs and
// locks. A token that may only read gets a consistent snapshot with the index of
// its state instead of a later one. ListMembers and RemoveMember need operator read and write.
//
// Every watch, and every lock that is held or waited for, occupies one HTTP
// connection. An agent accepts 200 of them from each client address, unless
// its limits.http_max_conns_per_client says otherwise.
package consul

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
)

const (
	// Name of the backend.
	Name = "consul-kv"
	// MaxRenewRetries is how often earlier releases try to renew a session. This release
	// tries until the session would have ended.
	MaxRenewRetries = 5

	// openTimeout is how long New looks for an endpoint that serves, so that it returns
	// within 10 s.
	openTimeout = 8 * time.Second
)

// CKVPairs sorts pairs of Consul's client by ModifyIndex.
type CKVPairs api.KVPairs

// Len implements [sort.Interface].
func (c CKVPairs) Len() int { return len(c) }

// Less implements [sort.Interface].
func (c CKVPairs) Less(i, j int) bool { return c[i].ModifyIndex < c[j].ModifyIndex }

// Swap implements [sort.Interface].
func (c CKVPairs) Swap(i, j int) { c[i], c[j] = c[j], c[i] }

func init() {
	driver.Register(driver.Backend{Name: Name, New: New, Version: Version, Options: declared.Names()})
}

// Version returns [kvdb.ConsulVersion1].
func Version(string, map[string]string) (string, error) { return kvdb.ConsulVersion1, nil }

// New returns an instance that uses the Consul agents or servers at machines. Each is a
// host:port, optionally with http:// or https:// in front and a path behind it. No
// machines mean 127.0.0.1:8500. One of them answers all requests until it fails, then the
// next one does. New takes the options [kvdb.ACLTokenKey], TrustedCAFileKey, CAFileKey,
// CertFileKey, CertKeyFileKey, ClientCertAuthKey, CAAuthAddress (the name that the
// servers' certificates must have), InsecureSkipVerify, TransportScheme,
// ReadConsistency, LockTTLKey and RetryCountKey, whose value is checked and has no effect, because
// only the time limit of a call ends the retries. Certificates, keys and authorities are
// read again at each handshake.
//
// If no agent can be reached within 10 s, the error wraps [kvdb.ErrNoConnection].
func New(domain string, machines []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	c, err := parse(machines, options)
	if err != nil {
		return nil, err
	}
	s, err := newStore(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := driver.WithTimeLimit(context.Background(), openTimeout)
	defer cancel()
	if err := s.conn.Connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to Consul at %q: %w", c.Given, err), s.Close(ctx))
	}
	return engine.New(engine.Config{Name: Name, Domain: domain, Store: s, FatalCb: fatalErrorCb, Hooks: &s.hooks})
}
