// Package consul is kvdb on Consul.
//
// A write is one transaction, whose reply carries the pair's indexes. Reads ask
// the leader in the mode "consistent", unless [kvdb.ReadConsistency] says
// "stale". How what kvdb offers is laid out in Consul, for programs that look
// at it by other means:
//
//   - A value is a key with flags 0 and no session. One that is too large for a
//     transaction has flags of its own, by which its writer finds it. Those that earlier releases
//     have written with Create or CompareAndSet have the flags of a lock.
//   - A value with a TTL has the flags ttlFlags and is held by a session of its own
//     whose behaviour is to delete. Consul ends such a session between the TTL
//     that was asked for and one second later (20.5 s after a write with 20 s);
//     when its leader changes in the meantime it starts to count again. The
//     session of a write whose outcome is not known, and that may still run, is
//     left to its TTL: to end it would delete what the write has made late.
//   - A lock is a key with the locker's ID as its value and the flags of the locks
//     of Consul's own client, held by a session that all locks of an instance
//     share. It is gone when the lock is released. A lock and a value cannot have the
//     same key. What Consul's client leaves when it gives up a lock, or an earlier
//     release when it dies, has the same flags, and the LockIndex of a key that was
//     taken: that is no value.
//
// To write over what is there without having looked, an instance keeps one more
// session, which holds a key no longer than a transaction. It ends half a minute
// after the last such write.
//
// Needed permissions, where Consul has access control on: key_prefix write on the
// domain, and session_prefix write on the nodes of the endpoints for TTLs and
// locks. A token that may only read gets a consistent snapshot with the index of
// its state instead of a later one. ListMembers and RemoveMember need operator read and write.
//
// Every watch, and every lock that is held or waited for, keeps one HTTP
// connection busy. An agent admits 200 of them for each client address, unless
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
	// MaxRenewRetries is how often other releases of this library try to renew a
	// session. This release tries until the session would have ended.
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
	if err := kvdb.Register(Name, New, Version); err != nil {
		panic(fmt.Sprintf("register %s: %v", Name, err))
	}
}

// Version returns [kvdb.ConsulVersion1].
func Version(string, map[string]string) (string, error) { return kvdb.ConsulVersion1, nil }

// New returns an instance over the Consul agents or servers at machines:
// host:port, with http:// or https:// in front or not, and a path behind it or not;
// without any it is 127.0.0.1:8500. One answers the requests until it fails, then the
// next one does. It takes the options [kvdb.ACLTokenKey], TrustedCAFileKey, CAFileKey,
// CertFileKey, CertKeyFileKey, ClientCertAuthKey, CAAuthAddress (the name that the
// servers' certificates must have), InsecureSkipVerify, TransportScheme,
// ReadConsistency and RetryCountKey, whose value is checked and has no effect:
// the time limit of a call alone ends the tries. Certificates, keys and authorities are
// read again at each handshake.
//
// An agent that cannot be reached within 10 s is an error that wraps
// [kvdb.ErrNoConnection].
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
	kv, err := engine.New(engine.Config{Name: Name, Domain: domain, Store: s, FatalCb: fatalErrorCb})
	if err != nil {
		return nil, err
	}
	return kv, nil
}
