package etcdv2

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

// history detects that the store no longer has the history which the instance knows,
// because it was wiped or restored from a backup, or because it is another cluster. An
// answer with a smaller index than one seen before shows that. If the index has passed
// that in the meantime, the last event known is missing, so verify looks for it after a
// lost connection. What waits for events from an index on checks that too, when the member has
// begun to wait. What may know no event checks with a sight that no connection was lost.
type history struct {
	mu      sync.Mutex // protects current and what is in it
	current *generation
	// replaced is called, with mu held, when current was replaced.
	replaced func()

	verifying chan struct{} // has an element while verify runs: one at a time
}

// generation is one history of the store. history.mu protects it.
type generation struct {
	over    context.Context // ends when the store has another one
	end     context.CancelFunc
	cluster string // its ID
	index   uint64 // the largest index seen
	last    fact   // the last event known
	// doubts counts lost connections. verified is the value of doubts when the history was
	// last found to be the same.
	doubts, verified int
}

// fact identifies an event of the history.
type fact struct {
	path  string // "" for none
	index uint64
	sum   uint64 // a hash of the event
}

var seed = maphash.MakeSeed()

func factOf(n *client.Node) fact {
	return fact{path: n.Key, index: n.ModifiedIndex, sum: maphash.Comparable(seed, struct {
		value   string
		created uint64
	}{n.Value, n.CreatedIndex})}
}

func newHistory(replaced func()) *history {
	return &history{current: newGeneration(), replaced: replaced, verifying: make(chan struct{}, 1)}
}

func newGeneration() *generation {
	g := &generation{}
	g.over, g.end = context.WithCancel(context.Background())
	return g
}

// now returns the present generation and the largest index seen in it.
func (h *history) now() (*generation, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current, h.current.index
}

// bind returns a context that also ends, with the cause kvdb.ErrWatchRevisionCompacted,
// when g is over.
func (g *generation) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(g.over, func() { cancel(kvdb.ErrWatchRevisionCompacted) })
	return ctx, func() { stop(); cancel(nil) }
}

// observe notes the header of an answer. The request was made in g, whose index was floor.
// Only the answers to writes and linearizable reads must have an index that is not smaller.
func (h *history) observe(g *generation, floor uint64, linearizable bool, header http.Header) {
	// Without an index, or with 0, the answer is not from the store.
	index, _ := strconv.ParseUint(header.Get("X-Etcd-Index"), 10, 64)
	cluster := header.Get("X-Etcd-Cluster-Id")
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != g {
		return
	}
	isOther := cluster != "" && g.cluster != "" && cluster != g.cluster
	if isOther || linearizable && index != 0 && index < floor {
		g = h.replace()
	}
	g.cluster = cmp.Or(cluster, g.cluster)
	g.index = max(g.index, index)
}

// replace begins a new generation. The caller holds mu.
func (h *history) replace() *generation {
	h.current.end()
	h.current = newGeneration()
	h.replaced()
	return h.current
}

// note notes the node of an event in g.
func (h *history) note(g *generation, n *client.Node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != g {
		return
	}
	g.index = max(g.index, n.ModifiedIndex)
	// After a lost connection an event may be of another history.
	if g.doubts == g.verified && n.ModifiedIndex > g.last.index {
		g.last = factOf(n)
	}
}

// noteList notes the latest of the nodes that a list in g has shown. It leaves out those
// that expire, because the index of a node moves without an event when its TTL is refreshed.
func (h *history) noteList(g *generation, nodes []*client.Node) {
	var latest *client.Node
	for _, n := range nodes {
		if n.Expiration == nil && (latest == nil || n.ModifiedIndex > latest.ModifiedIndex) {
			latest = n
		}
	}
	if latest != nil {
		h.note(g, latest)
	}
}

// doubt notes that a connection was lost. Before the first answer there is nothing to
// doubt.
func (h *history) doubt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current.index != 0 {
		h.current.doubts++
	}
}

// sight is a time in a generation of the history.
type sight struct {
	in     *generation
	doubts int
}

// sight returns the present time.
func (h *history) sight() sight {
	h.mu.Lock()
	defer h.mu.Unlock()
	return sight{h.current, h.current.doubts}
}

// holds reports whether no connection was lost since a time, so the history is the same.
func (h *history) holds(since sight) bool { return h.sight() == since }

// verify waits until a majority has answered since the last lost connection, and until
// it is known that the history is the same or a new generation has begun.
func (p *pool) verify(ctx context.Context) error {
	h := p.history
	select {
	case h.verifying <- struct{}{}:
		defer func() { <-h.verifying }()
	case <-ctx.Done():
		return driver.NotReached(ctx, nil)
	}
	h.mu.Lock()
	g, isDoubted := h.current, h.current.doubts != h.current.verified
	h.mu.Unlock()
	if !isDoubted {
		return nil
	}
	if err := p.ping(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	doubts, last, isCurrent := g.doubts, g.last, h.current == g
	h.mu.Unlock()
	if !isCurrent {
		return nil
	}
	remembers, err := p.remembers(ctx, last)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.current != g:
	case remembers:
		g.verified = doubts
	default:
		h.replace()
	}
	return nil
}

// factTries is the number of requests for an event, of AttemptTimeout each, that must have
// no answer before the event counts as missing.
const factTries = 2

// remembers reports whether the history has an event, or may have it. The server remembers
// only the last 1000, and the user may have no permission to read it.
func (p *pool) remembers(ctx context.Context, f fact) (bool, error) {
	if f.path == "" {
		return true, nil
	}
	for range factTries {
		event, err := p.eventAt(ctx, f)
		switch {
		case codeOf(err) == client.ErrorCodeEventIndexCleared, codeOf(err) == client.ErrorCodeUnauthorized:
			return true, nil
		case err == errNoEvent:
			continue
		case err != nil:
			return false, err
		}
		return factOf(event.Node) == f, nil
	}
	return false, nil
}

// errNoEvent says that a member which has reached an index does not return its event.
var errNoEvent = errors.New("the member has no such event")

// eventAt returns the first event of a fact's node from the fact's index on.
func (p *pool) eventAt(ctx context.Context, f fact) (*client.Response, error) {
	limited, cancel := driver.WithTimeLimit(ctx, call.AttemptTimeout)
	defer cancel()
	l := p.Current().longPoll(limited, nil)
	defer l.end()
	answer, err := l.listen(f.path, false, f.index, nil)
	if err != nil {
		return nil, l.failure(limited, err)
	}
	defer answer.body.Close()
	event, err := answer.next()
	if err != nil && limited.Err() != nil && !driver.GivenUp(limited) && answer.began >= f.index {
		return nil, errNoEvent
	} else if err != nil {
		return nil, l.failure(limited, err)
	}
	return event, nil
}

// isLinearizable reports whether the answer to a request has everything that answers
// before the request had.
func isLinearizable(r *http.Request) bool {
	return r.Method != http.MethodGet || strings.Contains(r.URL.RawQuery, "quorum=true")
}
