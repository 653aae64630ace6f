// Package zookeeper is kvdb on ZooKeeper, from version 3.5 on.
//
// The key a/b below the domain d is the znode /d/a/b, whose data is the value. The znodes above
// it are containers without data, which the server removes when they are empty. A znode without
// data is a directory, not a key. The component %kvdb is reserved for the library:
//
//   - Below a key's znode it is a container with the queue for the lock of that key: ephemeral
//     sequential znodes with the value {"LockerID":"…"}. Where there is no znode at the key, the
//     lock is an ephemeral znode there, see hold.go.
//   - In it, "keep" keeps a container that has a value from being removed, see sentinel.go.
//   - /%kvdb/held has up to 256 znodes, and in them an ephemeral one for each lock at a key, which
//     distinguishes the lock from later ones there.
//   - /%kvdb/gen has 256 znodes whose versions count deletions, see generation.go.
//   - /%kvdb/history has up to 4096 znodes, which show instances that the store went back, see
//     history.go.
//
// ModifiedIndex is the znode's mzxid, CreatedIndex its czxid. A key that takes over the znode of
// a directory (there were keys below it, or it was written while it was locked) has the
// CreatedIndex of that directory.
package zookeeper

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
)

const (
	// Name of the backend.
	Name = "zookeeper-kv"
	// SOH is the character "start of heading", which earlier releases use. This one does not.
	SOH = "\x01"
)

// LockerIDInfo is the value of a lock's znode, in JSON.
type LockerIDInfo struct {
	LockerID string // the ID of the holder
}

func init() {
	driver.Register(driver.Backend{Name: Name, New: New, Version: Version, Options: declared.Names()})
}

// Version returns [kvdb.ZookeeperVersion1].
func Version(string, map[string]string) (string, error) { return kvdb.ZookeeperVersion1, nil }

// New returns an instance over the ZooKeeper servers at machines. Each is host or host:port, and
// may begin with tcp://, tls://, http:// or https://. Without any it is 127.0.0.1:2181. It takes
// the options
//   - [kvdb.UsernameKey] and PasswordKey: digest authentication; what the instance creates is
//     for that user alone,
//   - RetryCountKey: how many times a request is sent again when it certainly had no effect;
//     without it, or with 0, until the time limit of the call,
//   - ReadConsistency,
//   - LockTTLKey: the timeout of the session in seconds, 20 without it, if the servers allow that,
//   - TransportScheme: "https" or "tls" turns TLS on,
//   - TrustedCAFileKey or CAFileKey, CertFileKey, CertKeyFileKey, ClientCertAuthKey and
//     InsecureSkipVerify; the files are read again at each handshake,
//   - CAAuthAddress: the name that the servers' certificates must have,
//   - MaxRequestBytesKey: the servers' jute.maxbuffer, if that is not the default.
//
// If the servers cannot be reached within 10 s, it returns an error that wraps
// [kvdb.ErrNoConnection].
func New(domain string, machines []string, options map[string]string, fatalErrorCb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	s, err := open(machines, options)
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Config{Name: Name, Domain: domain, Store: s, FatalCb: fatalErrorCb, Hooks: &s.hooks})
}
