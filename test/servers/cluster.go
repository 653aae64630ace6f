package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Cluster is a server with one or several members. It is safe for concurrent use.
type Cluster struct {
	// CA made the certificates, when Options ask for TLS.
	CA *CA
	// Token permits everything on a Consul with ACL.
	Token string

	kind   Kind
	o      Options
	dir    string
	prober *prober
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // of the goroutines that accept and relay connections

	mu      sync.Mutex // protects the fields below
	members []*Member
	lastID  int
	ports   ports
	links   map[[2]*Member]*Link // from, to
	others  []*acceptor          // the acceptors that do not belong to a link
	backup  backup               // the last one
}

// New makes a cluster whose members keep their data below dir, which exists and
// is empty. Start starts it, and Close must be called.
func New(k Kind, dir string, o Options) (*Cluster, error) {
	if err := k.driver.installed(); err != nil {
		return nil, err
	}
	o.Members = max(o.Members, 1)
	o.TLS = o.TLS || o.ClientCertAuth
	c := &Cluster{kind: k, o: o, dir: dir, links: map[[2]*Member]*Link{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// prepare creates the certificates and tokens that the members need.
func (c *Cluster) prepare() error {
	var err error
	if c.o.TLS {
		if c.CA, err = NewCA(c.dir); err != nil {
			return err
		}
	}
	if c.o.ACL {
		c.Token = newUUID()
	}
	if c.prober, err = newProber(c); err != nil {
		return err
	}
	for range c.o.Members {
		if _, err := c.Add(); err != nil {
			return err
		}
	}
	return nil
}

// Add makes one more member, and does not start it. etcd must know of a member before it
// starts; ZooKeeper afterwards.
func (c *Cluster) Add() (*Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	m := &Member{c: c, id: c.lastID, name: fmt.Sprintf("%s-%d", c.kind.name, c.lastID), clients: newLink()}
	m.dir = filepath.Join(c.dir, m.name)
	for _, port := range []*int{&m.front, &m.direct, &m.plain, &m.peer, &m.vote, &m.socks} {
		var err error
		if *port, err = c.ports.reserve(); err != nil {
			return nil, err
		}
	}
	m.clients.front = c.acceptor(address(loopback, m.front), func(client net.Conn) {
		m.clients.carry(c.ctx, client, address(loopback, m.direct), nil)
	})
	if err := c.kind.driver.connect(m); err != nil {
		return nil, err
	}
	c.members = append(c.members, m)
	return m, nil
}

// Remove kills a member and removes it from c. The caller has to remove it from the
// configuration of the others.
func (c *Cluster) Remove(m *Member) error {
	c.mu.Lock()
	c.members = slices.DeleteFunc(c.members, func(other *Member) bool { return other == m })
	c.mu.Unlock()
	return m.Kill()
}

// RotateCA replaces CA by a new authority. A member gets a certificate of it at its next
// start. RotateCA is for clusters without ClientCertAuth.
func (c *Cluster) RotateCA() error {
	dir, err := os.MkdirTemp(c.dir, "ca-")
	if err != nil {
		return err
	}
	ca, err := NewCA(dir)
	if err != nil {
		return err
	}
	c.CA = ca
	return nil
}

// Start starts all members and returns when they serve requests.
func (c *Cluster) Start() error {
	ctx, cancel := context.WithTimeout(c.ctx, startTimeout)
	defer cancel()
	for _, m := range c.All() {
		if err := m.launch(ctx); err != nil {
			return err
		}
	}
	for _, m := range c.All() {
		if err := m.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close kills all members and waits until all processes and goroutines of the cluster have
// ended.
func (c *Cluster) Close() error {
	c.cancel()
	var errs []error
	for _, m := range c.All() {
		errs = append(errs, m.Kill())
	}
	c.mu.Lock()
	for _, a := range c.others {
		errs = append(errs, a.set(false))
	}
	errs = append(errs, c.ports.close())
	c.mu.Unlock()
	c.wg.Wait()
	return errors.Join(errs...)
}

// All returns the members.
func (c *Cluster) All() []*Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

// Endpoints returns the endpoints of the members.
func (c *Cluster) Endpoints() []string {
	var endpoints []string
	for _, m := range c.All() {
		endpoints = append(endpoints, m.Endpoint())
	}
	return endpoints
}

// Leader waits until exactly one member reports that it leads, or ctx ends, and returns that
// member. A leader that has just lost the others may still report that it leads.
func (c *Cluster) Leader(ctx context.Context) (*Member, error) {
	var leader *Member
	err := poll(ctx, func() error {
		leader = nil
		var errs []error
		for _, m := range c.All() {
			if !m.available() {
				continue
			}
			leads, err := c.kind.driver.leads(ctx, m)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
			}
			if leads && leader != nil {
				return fmt.Errorf("both %s and %s lead", leader.name, m.name)
			}
			if leads {
				leader = m
			}
		}
		if leader == nil {
			return errors.Join(append(errs, errors.New("no member leads"))...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return leader, nil
}

// Ready waits until every member that runs serves requests.
func (c *Cluster) Ready(ctx context.Context) error {
	for _, m := range c.All() {
		if !m.available() {
			continue
		}
		if err := poll(ctx, func() error { return c.kind.driver.ready(ctx, m) }); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// specs returns the specs of the members.
func (c *Cluster) specs() []string {
	var specs []string
	for _, m := range c.All() {
		specs = append(specs, m.Spec())
	}
	return specs
}

// scheme returns the scheme of the members' URLs.
func (c *Cluster) scheme() string {
	if c.o.TLS {
		return "https"
	}
	return "http"
}

// newUUID returns a random UUID, which is the form of Consul's tokens.
func newUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
