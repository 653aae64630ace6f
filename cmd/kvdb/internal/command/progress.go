package command

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// work is how far a long command is.
type work struct {
	Phase string `json:"phase"`
	// Keys and Bytes are done. Total is the number of keys in all, 0 if that is not known.
	Keys  int64 `json:"keys"`
	Total int64 `json:"total,omitempty"`
	Bytes int64 `json:"bytes"`
	// Dirty is the number of keys that have changed meanwhile and are to be done again.
	Dirty int64 `json:"dirty,omitempty"`
}

// progress shows how far a long command is: as one line on a terminal, else as a line of JSON
// from time to time. It is safe for concurrent use.
type progress struct {
	app     *app
	started time.Time

	mu    sync.Mutex // protects the work and the standard error
	now   work
	shown bool

	stop, over chan struct{}
	ended      sync.Once
}

// How often the progress is shown.
const (
	terminalInterval = 200 * time.Millisecond
	jsonInterval     = 10 * time.Second
)

// newProgress starts to show progress until end is called.
func (a *app) newProgress() *progress {
	interval := jsonInterval
	if a.Terminal.Err {
		interval = terminalInterval
	}
	return a.progressEvery(interval)
}

func (a *app) progressEvery(interval time.Duration) *progress {
	p := &progress{app: a, started: time.Now(), stop: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(p.over)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.show()
			case <-p.stop:
				return
			}
		}
	}()
	return p
}

// update changes the state of the work.
func (p *progress) update(change func(w *work)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.now)
}

// end stops to show progress. The line on the terminal disappears. It may be called again.
func (p *progress) end() {
	p.ended.Do(func() {
		close(p.stop)
		<-p.over
		if p.shown && p.app.Terminal.Err {
			fmt.Fprint(p.app.Stderr, "\r\x1b[K")
		}
	})
}

// Write writes text for a person, without the progress in between.
func (p *progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown && p.app.Terminal.Err {
		fmt.Fprint(p.app.Stderr, "\r\x1b[K")
	}
	return p.app.Stderr.Write(text)
}

func (p *progress) show() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now
	p.shown = true
	elapsed := time.Since(p.started)
	if p.app.Terminal.Err {
		fmt.Fprint(p.app.Stderr, "\r\x1b[K"+cut(now.line(elapsed), max(p.app.Terminal.Width-1, minCell)))
		return
	}
	text, err := encodeJSON(struct {
		work
		Seconds float64 `json:"seconds"`
	}{now, elapsed.Seconds()})
	if err == nil {
		_, _ = p.app.Stderr.Write(text) // progress is not worth an error
	}
}

// line returns the state for a terminal: phase, keys, bytes, rate, time left, dirty keys.
func (w work) line(elapsed time.Duration) string {
	rate := float64(w.Keys) / max(elapsed.Seconds(), 0.001)
	parts := []string{w.Phase}
	if w.Total > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d keys", w.Keys, w.Total))
	} else {
		parts = append(parts, fmt.Sprintf("%d keys", w.Keys))
	}
	parts = append(parts, byteSize(w.Bytes), fmt.Sprintf("%.0f keys/s", rate))
	if left := w.Total - w.Keys; left > 0 && rate > 0 {
		seconds := time.Duration(float64(left)/rate) * time.Second
		parts = append(parts, seconds.String()+" left")
	}
	if w.Dirty > 0 {
		parts = append(parts, fmt.Sprintf("%d changed", w.Dirty))
	}
	return strings.Join(parts, " · ")
}
