package consul

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
)

const (
	minTTL = 20 * time.Second
	maxTTL = 172800 * time.Second
	// ttlSlack is the time from the request for the session until the write, so that a
	// key does not expire before its TTL. After a longer time the session is renewed.
	ttlSlack = 500 * time.Millisecond
)

// ttlOf returns the TTL of the values that a session holds, 0 if they do not end with it.
func ttlOf(session *api.SessionEntry) time.Duration {
	ttl, err := time.ParseDuration(session.TTL)
	if err != nil || session.Behavior != api.SessionBehaviorDelete {
		return 0
	}
	return max(time.Second, sessionFactor*ttl-ttlSlack)
}

// TTL implements driver.TTLReader. It returns the whole TTL, because Consul does not report how
// much of it is over.
func (s *store) TTL(ctx context.Context, key string) (remaining time.Duration, has bool, err error) {
	for seen := uint64(0); ; {
		pair, _, err := s.read(ctx, key, s.stale)
		switch {
		case err != nil:
			return 0, false, err
		case pair == nil || isLock(pair):
			return 0, false, kvdb.ErrNotFound
		case pair.Session == "":
			return 0, false, nil
		}
		session, _, err := conn.Query(ctx, s.conn, s.stale, func(c *api.Client, q *api.QueryOptions) (*api.SessionEntry, *api.QueryMeta, error) {
			return c.Session().Info(pair.Session, q)
		})
		switch {
		case err != nil:
			return 0, false, err
		case session != nil:
			ttl := ttlOf(session)
			return ttl, ttl > 0, nil
		case pair.ModifyIndex == seen: // The token may not read the session.
			return maxTTL, true, nil
		}
		seen = pair.ModifyIndex // The session has ended, so the key is gone or was overwritten.
	}
}

// expiring are pairs that sessions hold.
type expiring []heldPair

type heldPair struct {
	pair    *kvdb.KVPair
	session string
}

// add adds the pair of p if a session holds that.
func (e *expiring) add(pair *kvdb.KVPair, p *api.KVPair) {
	if p.Session != "" {
		*e = append(*e, heldPair{pair, p.Session})
	}
}

// setTTLs sets the TTLs of pairs with one request for all sessions, or none if there is no
// pair. It sets the longest TTL if it does not find a session, because that has ended since the
// pair was read, or the token may not read it.
func (s *store) setTTLs(ctx context.Context, e expiring) error {
	if len(e) == 0 {
		return nil
	}
	sessions, _, err := conn.Query(ctx, s.conn, s.stale, func(c *api.Client, q *api.QueryOptions) ([]*api.SessionEntry, *api.QueryMeta, error) {
		return c.Session().List(q)
	})
	if err != nil {
		return err
	}
	ttls := map[string]time.Duration{}
	for _, session := range sessions {
		ttls[session.ID] = ttlOf(session)
	}
	for _, p := range e {
		ttl, found := ttls[p.session]
		if !found {
			ttl = maxTTL
		}
		p.pair.TTL = int64((ttl + time.Second - 1) / time.Second)
	}
	return nil
}

// createTTLSession creates the session of a write, if that has a TTL.
func (s *store) createTTLSession(ctx context.Context, w *write) (err error) {
	if w.ttl == 0 {
		return nil
	}
	w.requested = time.Now()
	w.session, err = s.createSession(ctx, "kvdb TTL", min((w.ttl+ttlSlack)/sessionFactor, maxTTL/sessionFactor))
	var status api.StatusError
	if errors.As(err, &status) && strings.Contains(status.Body, "Invalid Session TTL") {
		return kvdb.ErrTTLNotSupported // a server with other limits
	}
	return err
}

// noteTTL notes the outcome of a write for which createTTLSession was called. When that
// is not known the session is left to its TTL, because the request may still run, and
// the end of the session would then delete the key.
func (s *store) noteTTL(w write, err error) {
	switch {
	case w.session == "" || errors.Is(err, kvdb.ErrUnknownOutcome):
	case err != nil:
		s.endSession(w.session)
	default:
		s.ttls.add(w)
		if time.Since(w.requested) > ttlSlack {
			s.background(func(ctx context.Context) { _ = s.renewSession(ctx, w.session) })
		}
	}
}

// ttlKeys are the keys with a TTL that this instance has written. The deletion of a tree
// ends the sessions of those below it; the sessions of other instances end by their TTL.
type ttlKeys struct {
	mu   sync.Mutex        // protects what is below
	keys map[string]ttlKey // by session
	full int               // the size at which add removes expired ones
}

type ttlKey struct {
	key     string
	expires time.Time
}

func (t *ttlKeys) add(w write) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys == nil {
		t.keys = map[string]ttlKey{}
	}
	if len(t.keys) >= t.full {
		now := time.Now()
		maps.DeleteFunc(t.keys, func(_ string, k ttlKey) bool { return k.expires.Before(now) })
		t.full = max(64, 2*len(t.keys))
	}
	t.keys[w.session] = ttlKey{w.key, time.Now().Add(w.ttl)}
}

func (t *ttlKeys) remove(session string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.keys, session)
}

// below returns the sessions of the keys that have a prefix.
func (t *ttlKeys) below(prefix string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sessions []string
	for session, k := range t.keys {
		if strings.HasPrefix(k.key, prefix) {
			sessions = append(sessions, session)
		}
	}
	return sessions
}
