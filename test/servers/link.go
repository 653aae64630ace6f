package servers

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Link carries TCP connections in one direction: from clients to a member, or
// from one member to another. Data flows both ways on each connection.
type Link struct {
	mu      sync.Mutex // protects the fields below
	state   state
	delay   time.Duration
	changed chan struct{}      // closed, and replaced, when state changes
	conns   map[*conn]struct{} // open connections
	front   *acceptor          // accepts only connections of this link; may be nil
	up      bool               // the member is there, so front may accept connections
}

type state int

const (
	open  state = iota
	cut         // no connection
	black       // connections stay, nothing passes
)

// Links are several links that change together.
type Links []*Link

func newLink() *Link {
	return &Link{changed: make(chan struct{}), conns: map[*conn]struct{}{}}
}

// Cut closes the connections and refuses new ones until Heal.
func (l *Link) Cut() error { return l.set(cut) }

// Blackhole keeps connections and accepts new ones, but passes no data on until Heal. Data that
// was sent meanwhile arrives then. So the link behaves like a network that loses all packets.
func (l *Link) Blackhole() error { return l.set(black) }

// Heal ends Cut and Blackhole.
func (l *Link) Heal() error { return l.set(open) }

// Delay delays all data, in both directions, by d; 0 ends it.
func (l *Link) Delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// Cut is Link.Cut of each.
func (ls Links) Cut() error { return ls.each((*Link).Cut) }

// Blackhole is Link.Blackhole of each.
func (ls Links) Blackhole() error { return ls.each((*Link).Blackhole) }

// Heal is Link.Heal of each.
func (ls Links) Heal() error { return ls.each((*Link).Heal) }

// Delay is Link.Delay of each.
func (ls Links) Delay(d time.Duration) {
	for _, l := range ls {
		l.Delay(d)
	}
}

func (ls Links) each(do func(*Link) error) error {
	var errs []error
	for _, l := range ls {
		errs = append(errs, do(l))
	}
	return errors.Join(errs...)
}

func (l *Link) set(s state) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.changed)
	l.changed = make(chan struct{})
	if s == cut {
		for c := range l.conns {
			c.abort()
		}
	}
	return l.listen()
}

// setUp sets whether the member is there. The address of a member that is not refuses
// connections.
func (l *Link) setUp(up bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = up
	return l.listen()
}

// listen switches front on or off, according to the state. The caller holds mu.
func (l *Link) listen() error {
	if l.front == nil {
		return nil
	}
	return l.front.set(l.up && l.state != cut)
}

// isOpen reports whether data passes.
func (l *Link) isOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == open
}

// pass waits until data may pass. It returns false when ctx ends first.
func (l *Link) pass(ctx context.Context) bool {
	l.mu.Lock()
	delay := l.delay
	for l.state != open {
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
		l.mu.Lock()
		delay = l.delay
	}
	l.mu.Unlock()
	if delay == 0 {
		return ctx.Err() == nil
	}
	late := time.NewTimer(delay)
	defer late.Stop()
	select {
	case <-late.C:
		return true
	case <-ctx.Done():
		return false
	}
}
