package eventlog

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/portworx/kvdb/internal/tree"
)

// onCollected calls f when the record is garbage.
func onCollected(r *tree.Record, f func()) {
	runtime.AddCleanup(r, func(f func()) { f() }, f)
}

// requireCollected waits until all is collected.
func requireCollected(t *testing.T, collected *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() { collected.Wait(); close(done) }()
	deadline := time.After(20 * time.Second)
	for {
		runtime.GC()
		select {
		case <-done:
			return
		case <-deadline:
			t.Fatal("something keeps delivered events alive")
		case <-time.After(time.Millisecond):
		}
	}
}
