package consul

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

const (
	// opTimeout bounds every call.
	opTimeout = 10 * time.Second
	// maxKey keeps the URL of a read well below the megabyte that Consul takes.
	maxKey = 16 << 10
)

// store implements driver.Store.
type store struct {
	conn  *conn.Conn
	stale bool // reads need not see the latest writes
	// locks has the session of the locks, writer one that never holds a key
	// beyond a transaction.
	locks, writer *keeper
	ttls          ttlKeys
	history       atomic.Pointer[history]

	lifetime context.Context // ends with cause kvdb.ErrClosed at Close
	end      context.CancelCauseFunc
	// late is for what must be done after a call, and a while after Close.
	late    context.Context
	endLate context.CancelFunc

	mu         sync.Mutex // orders begin and launch against Close
	closing    bool       // no call begins any more
	closed     bool       // nothing is launched any more
	calls      sync.WaitGroup
	goroutines sync.WaitGroup
}

var (
	_ driver.Transactor  = (*store)(nil)
	_ driver.TxChecker   = (*store)(nil)
	_ driver.ChildLister = (*store)(nil)
	_ kvdb.Controller    = (*store)(nil)
)

func newStore(c conn.Config) (*store, error) {
	s := &store{stale: c.Stale}
	var err error
	if s.conn, err = conn.New(c, s.probe); err != nil {
		return nil, err
	}
	s.locks, s.writer = newKeeper(s, locksName), newKeeper(s, writerName)
	s.history.Store(newHistory())
	s.lifetime, s.end = context.WithCancelCause(context.Background())
	s.late, s.endLate = context.WithCancel(context.Background())
	return s, nil
}

// Profile implements driver.Store.
func (s *store) Profile() driver.Profile {
	return driver.Profile{
		MinTTL: minTTL, MaxTTL: maxTTL,
		MaxKey: maxKey, MaxTxOps: conn.MaxOps,
		CheckKey: checkKey, CheckPrefix: checkPrefix,
		OpTimeout: opTimeout,
	}
}

// checkKey folds runs of slashes, drops a leading one, and refuses what Consul's
// HTTP interface does not carry: paths are cleaned of dots, and must be
// printable.
func checkKey(key string) (string, error) {
	folded, err := checkPrefix(key)
	if err != nil {
		return "", err
	}
	if folded == "" {
		return "", errors.New("it has nothing but slashes")
	}
	if last := folded[strings.LastIndexByte(folded, '/')+1:]; isDots(last) {
		return "", fmt.Errorf("it has the component %q", last)
	}
	return folded, nil
}

// takes reports whether checkKey returns key itself. Other programs may have written
// other keys.
func takes(key string) bool {
	return key != "" && isPlain(key) && !isDots(key[strings.LastIndexByte(key, '/')+1:])
}

// isPlain reports whether checkPrefix returns prefix itself.
func isPlain(prefix string) bool {
	component := 0 // where it begins
	for i, c := range prefix {
		switch {
		case c == '/':
			if i == component || isDots(prefix[component:i]) {
				return false
			}
			component = i + 1
		case c == utf8.RuneError || !unicode.IsPrint(c):
			return false
		}
	}
	return true
}

// checkPrefix is checkKey for the beginning of a key.
func checkPrefix(prefix string) (string, error) {
	if isPlain(prefix) {
		return prefix, nil
	}
	if !utf8.ValidString(prefix) {
		return "", errors.New("it is not UTF-8")
	}
	for _, c := range prefix {
		switch {
		case c == utf8.RuneError:
			return "", fmt.Errorf("it has %U, which Consul shows in place of what is not UTF-8", c)
		case !unicode.IsPrint(c):
			return "", fmt.Errorf("it has %U, which is not printable", c)
		}
	}
	components := strings.Split(prefix, "/")
	var folded strings.Builder
	for i, component := range components {
		last := i == len(components)-1
		if component == "" && !last {
			continue
		}
		if !last && isDots(component) {
			return "", fmt.Errorf("it has the component %q", component)
		}
		folded.WriteString(component)
		if !last {
			folded.WriteByte('/')
		}
	}
	return folded.String(), nil
}

func isDots(component string) bool { return component == "." || component == ".." }

// begin begins a call that may leave something to be done in the background. It ends
// with calls.Done. Close, which comes when the contexts of calls have ended, waits.
func (s *store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return kvdb.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// background runs f on a goroutine that Close waits for, for a minute at most
// or a while after Close.
func (s *store) background(f func(ctx context.Context)) {
	s.launch(func() {
		ctx, cancel := driver.WithTimeLimit(s.late, reapTimeout)
		defer cancel()
		f(ctx)
	})
}

// launch runs f on a goroutine that Close waits for; not after Close.
func (s *store) launch(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.goroutines.Go(f)
	}
}

// Close implements driver.Store. It ends the session of the locks, and with it
// the locks, and goes on to do so while Consul cannot be reached, until ctx ends.
func (s *store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.calls.Wait()
	ended := s.locks.close()
	s.writer.close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(kvdb.ErrClosed)
	stop := context.AfterFunc(ctx, s.endLate)
	s.goroutines.Wait()
	stop()
	s.endLate()
	s.conn.Close()
	var keys []string
	for _, session := range ended {
		if !session.destroyed.Load() {
			keys = append(keys, session.keys()...)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	return fmt.Errorf("%w: the locks %q are held until their session ends, for %v at most",
		kvdb.ErrNoConnection, slices.Compact(keys), sessionFactor*keptTTL)
}
