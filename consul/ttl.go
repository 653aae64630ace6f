package consul

import (
	"strings"
	"sync"
	"time"
)

// ttlKeys are the keys with a TTL that this instance has written, so that their
// sessions end with a tree that is deleted. Those of others end by their TTL.
type ttlKeys struct {
	mu   sync.Mutex        // protects what is below
	keys map[string]ttlKey // by session
	full int               // the size at which expired ones are looked for
}

type ttlKey struct {
	key     string
	expires time.Time
}

func (t *ttlKeys) add(session, key string, ttl time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys == nil {
		t.keys = map[string]ttlKey{}
	}
	if len(t.keys) >= t.full {
		now := time.Now()
		for s, k := range t.keys {
			if k.expires.Before(now) {
				delete(t.keys, s)
			}
		}
		t.full = max(64, 2*len(t.keys))
	}
	t.keys[session] = ttlKey{key, time.Now().Add(ttl)}
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
