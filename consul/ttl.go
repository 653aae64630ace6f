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
)

const (
	minTTL = 20 * time.Second
	maxTTL = 172800 * time.Second
	// ttlSlack is the time from the request for the session until the write, so that a
	// key does not expire before its TTL. After a longer time the session is renewed.
	ttlSlack = 500 * time.Millisecond
)

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
