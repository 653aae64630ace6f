package conn

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
)

// Request sends a request, or several of which all but the last are reads.
type Request func(c *zk.Conn) error

// ErrAbandoned is the error of a request whose context ended before its answer came.
var ErrAbandoned = errors.New("no answer in time")

// Run sends a request and waits until it returns or ctx ends. It sends nothing after the end
// of ctx, because the request that undoes an abandoned one may be sent then.
func (c *Conn) Run(ctx context.Context, r Request) error {
	done := make(chan error, 1)
	go func() {
		if ctx.Err() == nil {
			done <- r(c.client)
		}
	}()
	select {
	case err := <-done:
		return withSentinel(err)
	case <-ctx.Done():
		return ErrAbandoned
	}
}

// withSentinel adds kvdb's error to an answer that has one.
func withSentinel(err error) error {
	switch {
	case errors.Is(err, zk.ErrNoAuth):
		return fmt.Errorf("%w: %w", kvdb.ErrPermission, err)
	case errors.Is(err, zk.ErrAuthFailed):
		return fmt.Errorf("%w: %w", kvdb.ErrLogin, err)
	}
	return err
}
