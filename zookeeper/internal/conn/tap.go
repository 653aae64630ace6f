package conn

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"time"
)

const (
	// readTimeout is how long a server may send nothing before it is taken for dead.
	readTimeout = 5 * time.Second
	// connectTimeout is the same for the server's first message, for which ZooKeeper's
	// client would wait for minutes.
	connectTimeout = 3 * time.Second

	// Operations of ZooKeeper's protocol.
	opCreate      = 1
	opExists      = 3
	opGetData     = 4
	opSync        = 9
	opGetChildren = 12

	connectLength      = 4 + 44  // of the client's first message
	maxConnectResponse = 1 << 10 // more than the length of the server's first message
)

// errNotZooKeeper is the error of a server whose first message is not that of a ZooKeeper
// server.
var errNotZooKeeper = errors.New("the server does not speak ZooKeeper's protocol")

// tap is a connection of ZooKeeper's client to a server. It parses the messages that pass
// through it, and reports what the client does not expose. It changes only the client's
// first message, when that is to ask for a new session.
//
// A message begins with its length in four bytes. Then a request has four bytes of xid
// and four of operation, a reply four of xid, eight of zxid and four of error. The
// first message of each side has a form of its own. The client sends a message with one
// Write.
type tap struct {
	net.Conn
	conn   *Conn  // gets what the tap sees
	server string // its address

	pingsOnly  bool // an idle client sends nothing but its pings
	newSession bool // ask for a new session, as a client that has seen nothing

	connectSent bool // of Write: the first message was sent
	// Of Read: the beginning of a message and how many bytes of it were read, how many
	// bytes of the rest are to come, and whether the first message was read.
	head        [20]byte
	have        int
	rest        int
	connectRead bool
	timeout     time.Duration // of the session; the client sends a ping each third of it
}

// Write implements net.Conn. It never returns an error: a connection that is lost fails
// in Read. The reason is that the client answers a request twice that it could not
// write, and a third time when it is closed at that moment. Then it blocks for ever.
func (t *tap) Write(b []byte) (int, error) {
	op := uint32(0)
	if t.connectSent && len(b) > 16 {
		op = binary.BigEndian.Uint32(b[8:])
	}
	switch op {
	case opCreate, opExists, opGetData, opGetChildren:
		path := b[16:]
		t.conn.onRequest(binary.BigEndian.Uint32(b[4:]), path[:min(binary.BigEndian.Uint32(b[12:]), uint32(len(path)))])
	}
	if t.newSession && !t.connectSent && len(b) == connectLength {
		b = slices.Clone(b)
		clear(b[8:16])  // the last zxid that was seen
		clear(b[20:28]) // the session
		clear(b[32:])   // its password
	}
	if _, err := t.Conn.Write(b); err != nil {
		_ = t.Conn.Close() // makes Read fail
		return len(b), nil
	}
	if op == opSync {
		t.conn.onSync(string(b[16:]))
	}
	if !t.connectSent { // the client does not read before that
		t.connectSent = true
	}
	return len(b), nil
}

// Read implements net.Conn.
func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if n >= 4 && !t.connectRead && t.have == 0 && binary.BigEndian.Uint32(b) > maxConnectResponse {
		n, err = 0, errNotZooKeeper
	}
	if err != nil {
		t.conn.onLost(err)
	}
	if err != nil && t.connectSent && !t.connectRead {
		t.conn.onNoSession(t.server, err)
	}
	for unparsed := b[:n]; len(unparsed) > 0; {
		if t.rest > 0 {
			skip := min(t.rest, len(unparsed))
			t.rest -= skip
			unparsed = unparsed[skip:]
			continue
		}
		k := copy(t.head[t.have:], unparsed)
		unparsed = unparsed[k:]
		if t.have += k; t.have == len(t.head) {
			t.parseHead()
		}
	}
	return n, err
}

// parseHead reports what head says. No message of a server is shorter.
func (t *tap) parseHead() {
	t.have = 0
	t.rest = max(int(binary.BigEndian.Uint32(t.head[:]))-16, 0)
	if !t.connectRead {
		t.connectRead = true
		t.timeout = time.Duration(binary.BigEndian.Uint32(t.head[8:])) * time.Millisecond
		t.conn.onSession(t.timeout, t.newSession)
	} else if zxid := int64(binary.BigEndian.Uint64(t.head[8:])); zxid > 0 {
		t.conn.onReply(binary.BigEndian.Uint32(t.head[4:]), zxid)
	}
}

// SetReadDeadline implements net.Conn. It moves deadlines that are too late to detect a dead
// server in time.
func (t *tap) SetReadDeadline(deadline time.Time) error {
	limit := time.Now().Add(readTimeout)
	switch {
	case !t.connectRead:
		limit = time.Now().Add(connectTimeout)
	case t.pingsOnly:
		limit = time.Now().Add(max(readTimeout, t.timeout/2))
	}
	if deadline.After(limit) {
		deadline = limit
	}
	return t.Conn.SetReadDeadline(deadline)
}
