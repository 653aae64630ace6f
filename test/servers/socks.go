package servers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Constants of SOCKS version 5 in RFC 1928.
const (
	socksVersion   = 5
	socksNoAuth    = 0
	socksConnect   = 1
	socksIPv4      = 1
	socksDomain    = 3
	socksSucceeded = 0
	socksRefused   = 5
)

// socksRequest reads the request of a SOCKS client, and returns its port. The host is ignored,
// because a port belongs to one member.
func socksRequest(client io.ReadWriter) (port int, err error) {
	var head [2]byte // version, number of methods
	if _, err := io.ReadFull(client, head[:]); err != nil {
		return 0, err
	}
	if head[0] != socksVersion {
		return 0, fmt.Errorf("SOCKS version %d", head[0])
	}
	if _, err := io.CopyN(io.Discard, client, int64(head[1])); err != nil {
		return 0, err
	}
	if _, err := client.Write([]byte{socksVersion, socksNoAuth}); err != nil {
		return 0, err
	}
	var request [5]byte // version, command, reserved, kind of address, its first byte
	if _, err := io.ReadFull(client, request[:]); err != nil {
		return 0, err
	}
	if request[1] != socksConnect {
		return 0, fmt.Errorf("SOCKS command %d", request[1])
	}
	rest := net.IPv4len - 1
	switch request[3] {
	case socksIPv4:
	case socksDomain:
		rest = int(request[4])
	default:
		return 0, errors.New("SOCKS request with an IPv6 address")
	}
	if _, err := io.CopyN(io.Discard, client, int64(rest)); err != nil {
		return 0, err
	}
	var wanted [2]byte
	if _, err := io.ReadFull(client, wanted[:]); err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint16(wanted[:])), nil
}

// socksReply sends the result of a request to the client.
func socksReply(client io.Writer, dialled error) error {
	reply := make([]byte, 10) // ends with an address that nobody reads
	reply[0], reply[1], reply[3] = socksVersion, socksSucceeded, socksIPv4
	if dialled != nil {
		reply[1] = socksRefused
	}
	_, err := client.Write(reply)
	return err
}
