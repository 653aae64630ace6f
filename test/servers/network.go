package servers

import (
	"net"
	"slices"
)

// link is the link from one member to another.
func (c *Cluster) link(from, to *Member) *Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]*Member{from, to}
	if c.links[key] == nil {
		c.links[key] = newLink()
	}
	return c.links[key]
}

// quorum reports whether a member can reach enough others, itself included.
func (c *Cluster) quorum(m *Member) bool {
	all := c.All()
	reached := 0
	for _, other := range all {
		if other.available() && c.link(m, other).isOpen() && c.link(other, m).isOpen() {
			reached++
		}
	}
	return 2*reached > len(all)
}

// connectBySocks makes the links from the member to the others, and its proxy. The caller holds
// mu.
func (c *Cluster) connectBySocks(m *Member) error {
	a := c.acceptor(address(loopback, m.socks), func(client net.Conn) {
		port, err := socksRequest(client)
		if err != nil {
			_ = client.Close()
			return
		}
		to := c.find(func(other *Member) bool { return port == other.peer || port == other.vote })
		c.link(m, to).carry(c.ctx, client, address(loopback, port), func(dialled error) error {
			return socksReply(client, dialled)
		})
	})
	c.others = append(c.others, a)
	return a.set(true)
}

// find returns a member, or nil.
func (c *Cluster) find(wanted func(*Member) bool) *Member {
	all := c.All()
	if i := slices.IndexFunc(all, wanted); i >= 0 {
		return all[i]
	}
	return nil
}

func (c *Cluster) acceptor(addr string, serve func(net.Conn)) *acceptor {
	return &acceptor{addr: addr, serve: serve, wg: &c.wg}
}
