package consul

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

const (
	// locksName and writerName are what the names of the sessions begin with that
	// an instance keeps for its locks and for its writes.
	locksName, writerName = "kvdb locks", "kvdb writes"

	minTTL = 20 * time.Second
	maxTTL = 172800 * time.Second
	// sessionFactor: Consul ends a session after twice its TTL.
	sessionFactor = 2
	// ttlSlack is for the time between the session's creation and the write, so
	// that a key does not die before its TTL. After a longer time the session is
	// renewed.
	ttlSlack = 500 * time.Millisecond
	// reapTimeout bounds how long the end of a session is tried.
	reapTimeout = time.Minute
)

// createSession makes a session with the TTL that Consul knows it by. Keys it
// holds are deleted with it, and can be written again at once. No health check
// ends it, so that it outlives the server it was made on.
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
		// A session does no harm: the call as a whole has not run.
		s.background(func(ctx context.Context) { s.reapNamed(ctx, name) })
		err = driver.NotReached(ctx, &notRunError{err})
	}
	return reply.ID, err
}

// createTTLSession makes the session of a write with a TTL.
func (s *store) createTTLSession(ctx context.Context, w *write, ttl time.Duration) (err error) {
	w.asked = time.Now()
	w.session, err = s.createSession(ctx, "kvdb TTL", min((ttl+ttlSlack)/sessionFactor, maxTTL/sessionFactor))
	var status api.StatusError
	if errors.As(err, &status) && strings.Contains(status.Body, "Invalid Session TTL") {
		return kvdb.ErrTTLNotSupported // a server with other limits
	}
	return err
}

// expires says that w was written with a TTL.
func (s *store) expires(w write, ttl time.Duration) {
	s.ttls.add(w.session, w.key, ttl)
	if time.Since(w.asked) > ttlSlack {
		s.background(func(ctx context.Context) { _ = s.renewSession(ctx, w.session) })
	}
}

// reap ends a session that is not needed any more, in the background.
func (s *store) reap(id string) {
	s.ttls.remove(id)
	s.background(func(ctx context.Context) {
		// When it fails for all that time, the session ends by its TTL.
		_ = s.destroySession(ctx, id)
	})
}

func (s *store) destroySession(ctx context.Context, id string) error {
	return s.conn.Call(ctx, conn.Repeatable, func(ctx context.Context, c *api.Client) error {
		_, err := c.Session().Destroy(id, (&api.WriteOptions{}).WithContext(ctx))
		return err
	})
}

// reapNamed ends the session of that name, if there is one.
func (s *store) reapNamed(ctx context.Context, name string) {
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

// renewSession renews a session; the error is errSessionLost when there is none.
func (s *store) renewSession(ctx context.Context, id string) error {
	err := s.conn.Call(ctx, conn.Repeatable, func(ctx context.Context, c *api.Client) error {
		_, err := c.Raw().Write("/v1/session/renew/"+id, nil, nil, (&api.WriteOptions{}).WithContext(ctx))
		return err
	})
	if !conn.IsStatus(err, http.StatusNotFound) {
		return err
	}
	// A leader that has just been elected may not know all sessions yet, and says
	// the same. It does know them when it answers a consistent read.
	var session *api.SessionEntry
	_, readErr := s.conn.Query(ctx, false, func(c *api.Client, q *api.QueryOptions) (meta *api.QueryMeta, err error) {
		session, meta, err = c.Session().Info(id, q)
		return meta, err
	})
	switch {
	case readErr != nil:
		return readErr
	case session == nil:
		return errSessionLost
	}
	return err
}

var errSessionLost = errors.New("the session is lost")
