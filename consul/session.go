package consul

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

const (
	// locksName and writerName are the prefixes of the names of the sessions that an
	// instance keeps for its locks and for its writes.
	locksName, writerName = "kvdb locks", "kvdb writes"
	// sessionFactor: Consul ends a session after twice its TTL.
	sessionFactor = 2
	// destroyTimeout bounds how long the library tries to end a session.
	destroyTimeout = time.Minute
)

var errSessionLost = errors.New("the session is lost")

// createSession creates a session with the TTL that Consul knows it by. When it ends,
// Consul deletes the keys that it holds, which can be written again at once. It has no
// health checks, so that it outlives the server on which it was created.
func (s *store) createSession(ctx context.Context, name string, ttl time.Duration) (id string, err error) {
	name += " " + rand.Text()
	spec := map[string]any{
		"Name": name, "TTL": ttl.String(), "Behavior": api.SessionBehaviorDelete,
		"LockDelay": "0s", "NodeChecks": []string{}, "Checks": []string{},
	}
	var reply struct{ ID string }
	err = s.conn.Call(ctx, conn.Once, func(ctx context.Context, c *api.Client) error {
		_, err := c.Raw().Write("/v1/session/create", spec, &reply, (&api.WriteOptions{}).WithContext(ctx))
		if err == nil && reply.ID == "" {
			err = errNoID
		}
		return err
	})
	if errors.Is(err, kvdb.ErrUnknownOutcome) {
		// A session that nobody uses has no effect, so the call as a whole has none.
		s.background(func(ctx context.Context) { s.destroyNamed(ctx, name) })
		err = driver.NotReached(ctx, &notRunError{err})
	}
	return reply.ID, err
}

// renewSession renews a session; the error is errSessionLost when it does not exist.
func (s *store) renewSession(ctx context.Context, id string) error {
	err := s.conn.Call(ctx, conn.Repeatable, func(ctx context.Context, c *api.Client) error {
		_, err := c.Raw().Write("/v1/session/renew/"+id, nil, nil, (&api.WriteOptions{}).WithContext(ctx))
		return err
	})
	if !conn.IsStatus(err, http.StatusNotFound) {
		return err
	}
	// A leader that has just been elected may not know all sessions yet, and then answers
	// the same. It does know them when it answers a consistent read.
	session, readErr := s.readSession(ctx, id)
	switch {
	case readErr != nil:
		return readErr
	case session == nil:
		return errSessionLost
	}
	return err
}

// readSession returns a session, nil when it does not exist.
func (s *store) readSession(ctx context.Context, id string) (*api.SessionEntry, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout)
	defer cancel()
	session, _, err := conn.Query(ctx, s.conn, false, func(c *api.Client, q *api.QueryOptions) (*api.SessionEntry, *api.QueryMeta, error) {
		return c.Session().Info(id, q)
	})
	return session, err
}

func (s *store) destroySession(ctx context.Context, id string) error {
	return s.conn.Call(ctx, conn.Repeatable, func(ctx context.Context, c *api.Client) error {
		_, err := c.Session().Destroy(id, (&api.WriteOptions{}).WithContext(ctx))
		return err
	})
}

// destroyNamed ends the session of that name, if it exists.
func (s *store) destroyNamed(ctx context.Context, name string) {
	_ = s.conn.Call(ctx, conn.Repeatable, func(ctx context.Context, c *api.Client) error {
		sessions, _, err := c.Session().List(conn.Consistent(ctx))
		if err != nil {
			return err
		}
		for _, session := range sessions {
			if session.Name == name {
				_, err = c.Session().Destroy(session.ID, (&api.WriteOptions{}).WithContext(ctx))
			}
		}
		return err
	})
}

// endSession ends a session that is not needed any more, in the background.
func (s *store) endSession(id string) {
	s.ttls.remove(id)
	s.background(func(ctx context.Context) {
		// If it fails for all that time, the session ends by its TTL.
		_ = s.destroySession(ctx, id)
	})
}

// endSessionOf ends the session of a value with a TTL that was overwritten.
func (s *store) endSessionOf(p *api.KVPair) {
	if p != nil && p.Flags == ttlFlags && p.Session != "" {
		s.endSession(p.Session)
	}
}
