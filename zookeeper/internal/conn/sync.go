package conn

import (
	"context"
	"strconv"
)

// Sync is a sync request. A read that is sent behind it in the same session sees what any
// server had acknowledged when the sync was sent.
type Sync struct {
	sent chan struct{} // closed when it was sent
	done chan struct{} // closed when it was answered, or failed
	err  error         // to be read when done is closed
}

// StartSync returns a sync that is sent after the call. Concurrent callers share one.
func (c *Conn) StartSync() *Sync {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unsent != nil {
		return c.unsent
	}
	s := &Sync{sent: make(chan struct{}), done: make(chan struct{})}
	c.lastSync++
	path := "/" + strconv.FormatUint(c.lastSync, 36) // the server does not look for it
	c.unsent, c.syncs[path] = s, s
	go func() {
		_, s.err = c.client.Sync(path)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.syncs, path)
		if c.unsent == s {
			c.unsent = nil
		}
		close(s.done)
	}()
	return s
}

// onSync is called with the path of each sync that was sent.
func (c *Conn) onSync(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.syncs[path]; s != nil && c.unsent == s {
		c.unsent = nil
		close(s.sent)
	}
}

// Sent waits until the sync was sent: reads that are sent from then on are behind it.
func (s *Sync) Sent(ctx context.Context) error {
	select {
	case <-s.sent:
		return nil
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Wait waits for the answer.
func (s *Sync) Wait(ctx context.Context) error {
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
