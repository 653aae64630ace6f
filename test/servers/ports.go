package servers

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are below the range that systems use for outgoing connections, so that such a
// connection does not occupy the port of a server that restarts.
const firstPort, lastPort = 20000, 30000

// reservationHost is the address on which the port of a server is reserved during the life of
// its cluster. Every process that uses this package looks there first. Servers do not listen on
// it.
const reservationHost = "127.99.99.99"

// ports are TCP ports that are reserved until close.
type ports struct {
	held []net.Listener
}

// reserve returns a port on which no program listens, on any address.
func (p *ports) reserve() (int, error) {
	var err error
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		var l net.Listener
		if l, err = net.Listen("tcp", address("", port)); err != nil {
			continue // in use or reserved
		}
		if err = l.Close(); err != nil {
			return 0, err
		}
		if l, err = net.Listen("tcp", address(reservationHost, port)); err != nil {
			continue // another process was faster
		}
		p.held = append(p.held, l)
		return port, nil
	}
	return 0, err
}

func (p *ports) close() error {
	var errs []error
	for _, l := range p.held {
		errs = append(errs, l.Close())
	}
	p.held = nil
	return errors.Join(errs...)
}

// loopback is the address of the members for clients.
const loopback = "127.0.0.1"

func address(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}
