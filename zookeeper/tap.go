package zookeeper

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"time"
)

const (
	// silence is how long a server may say nothing before it is taken for dead;
	// handshake is the same before it has said anything. ZooKeeper's client would
	// wait for minutes for the latter.
	silence   = 5 * time.Second
	handshake = 3 * time.Second

	// Of ZooKeeper's protocol.
	opCreate      = 1
	opExists      = 3
	opGetData     = 4
	opSync        = 9
	opGetChildren = 12

	connectLength = 4 + 44  // of the first message from a client
	maxGreeting   = 1 << 10 // more than the first message from a server has
)

// tap is a connection of ZooKeeper's client to a server. It reads along what the
// client does not tell: the zxids of replies, the session's timeout, and when a
// sync has been sent. It changes nothing but the first message, when the session
// is to be a new one.
//
// A message is four bytes of length, and then for a request four of xid and four
// of operation, for a reply four of xid, eight of zxid and four of error. The
// first message each way is another one. The client sends a message with one
// Write.
type tap struct {
	net.Conn
	watcher tapWatcher
	server  string // its address

	pingedOnly bool // the client sends nothing but its pings, when it has nothing to ask
	fresh      bool // asks for a new session, and says that nothing was seen

	greeted bool // of Write: the first message was sent
	// Of Read: the beginning of a message, how much of it is there, how much of
	// the rest is to come, and whether the first message was read.
	head    [20]byte
	have    int
	rest    int
	greeter bool
	timeout time.Duration // of the session; the client's pings are a third of it apart
}

type tapWatcher interface {
	// granted gets the timeout of the session, and whether it is one that the client
	// did not ask for.
	granted(timeout time.Duration, fresh bool)
	// unanswered gets why a server has sent no first message.
	unanswered(server string, err error)
	// asked gets the number and the path of a read, or of a create, that is about
	// to be sent.
	asked(xid uint32, path []byte)
	// reached gets the number and the zxid of a reply.
	reached(xid uint32, zxid int64)
	// syncSent gets the path of a sync that is on its way.
	syncSent(path string)
}

// Write says that all is well, and leaves it to Read to find that the connection
// is lost. For the client answers a request twice that it could not write, and a
// third time when it is closed just then: that is one time too many, for which it
// waits for ever.
func (t *tap) Write(b []byte) (int, error) {
	op := uint32(0)
	if t.greeted && len(b) > 16 {
		op = binary.BigEndian.Uint32(b[8:])
	}
	switch op {
	case opCreate, opExists, opGetData, opGetChildren:
		path := b[16:]
		t.watcher.asked(binary.BigEndian.Uint32(b[4:]), path[:min(binary.BigEndian.Uint32(b[12:]), uint32(len(path)))])
	}
	if t.fresh && !t.greeted && len(b) == connectLength {
		b = slices.Clone(b)
		clear(b[8:16])  // the last zxid that was seen
		clear(b[20:28]) // the session
		clear(b[32:])   // its password
	}
	if _, err := t.Conn.Write(b); err != nil {
		_ = t.Conn.Close() // which ends Read
		return len(b), nil
	}
	if op == opSync {
		t.watcher.syncSent(string(b[16:]))
	}
	if !t.greeted { // nobody reads before that
		t.greeted = true
	}
	return len(b), nil
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if n >= 4 && !t.greeter && t.have == 0 && binary.BigEndian.Uint32(b) > maxGreeting {
		n, err = 0, errNotZooKeeper
	}
	if err != nil && t.greeted && !t.greeter {
		t.watcher.unanswered(t.server, err)
	}
	for seen := b[:n]; len(seen) > 0; {
		if t.rest > 0 {
			skip := min(t.rest, len(seen))
			t.rest -= skip
			seen = seen[skip:]
			continue
		}
		k := copy(t.head[t.have:], seen)
		seen = seen[k:]
		if t.have += k; t.have == len(t.head) {
			t.message()
		}
	}
	return n, err
}

// errNotZooKeeper: what a server has sent first is not what a ZooKeeper server sends.
var errNotZooKeeper = errors.New("the server does not speak ZooKeeper's protocol")

// message reads the beginning of a message from the server. None is shorter.
func (t *tap) message() {
	t.have = 0
	t.rest = max(int(binary.BigEndian.Uint32(t.head[:]))-16, 0)
	if !t.greeter {
		t.greeter = true
		t.timeout = time.Duration(binary.BigEndian.Uint32(t.head[8:])) * time.Millisecond
		t.watcher.granted(t.timeout, t.fresh)
	} else if zxid := int64(binary.BigEndian.Uint64(t.head[8:])); zxid > 0 {
		t.watcher.reached(binary.BigEndian.Uint32(t.head[4:]), zxid)
	}
}

// SetReadDeadline lets the client wait as long as it wants, but not longer than
// is sensible.
func (t *tap) SetReadDeadline(deadline time.Time) error {
	limit := time.Now().Add(silence)
	switch {
	case !t.greeter:
		limit = time.Now().Add(handshake)
	case t.pingedOnly:
		limit = time.Now().Add(max(silence, t.timeout/2))
	}
	if deadline.After(limit) {
		deadline = limit
	}
	return t.Conn.SetReadDeadline(deadline)
}
