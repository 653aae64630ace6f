package test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

var durableGroup = group{name: "Durability", calls: "what a closed instance or a dead process leaves", cases: []testCase{
	{name: "Reopen", run: durableReopen, alone: true},
	{name: "KilledProcess", run: durableKilledProcess, alone: true},
}}

// What was written is there when the store is opened again, with its indexes.
func durableReopen(e *env) {
	for _, key := range []string{"a", "dir/b", "_h"} {
		e.put(key, "first")
		e.put(key, "value of "+key)
	}
	start := e.put("dir/b", "last").ModifiedIndex
	last := e.put("dir/c", "last").ModifiedIndex
	before := e.content(e.kv)
	e.close(e.kv)
	e.kv = e.open(e.domain)
	if e.traits.PrivateStore {
		e.except("each instance has a store of its own, which ends with it")
		e.Empty(e.content(e.kv))
		return
	}
	e.Equal(before, e.content(e.kv))
	r := e.watchTree("dir/", start)
	live := e.put("dir/live", "value")
	e.Greater(live.ModifiedIndex, last)
	if e.traits.VolatileHistory {
		e.except("the history of events ends with the last instance")
		r.ends(kvdb.ErrWatchRevisionCompacted)
		return
	}
	r.seesIndex(last)
	r.seesIndex(live.ModifiedIndex)
}

const (
	childVariable = "KVDB_TEST_CHILD" // environment: a childTask in JSON
	childReady    = "kvdb-test-child: ready"
	// deathLimit is the time within which others obtain the lock of a dead process.
	deathLimit = 25 * time.Second
)

type childTask struct {
	Domain    string
	Endpoints []string
	Options   map[string]string
}

// Child is the other process of the suite: it opens an instance, writes, locks,
// and waits to be killed. Call it in a test that does nothing else, and name
// that test in Harness.Child. In an ordinary run it is skipped.
//
//	func TestChild(t *testing.T) { test.Child(t, mystore.New) }
func Child(t *testing.T, init kvdb.DatastoreInit) {
	encoded := os.Getenv(childVariable)
	if encoded == "" {
		t.Skip("for another process that the conformance suite starts")
	}
	var task childTask
	require.NoError(t, json.Unmarshal([]byte(encoded), &task))
	kv, err := init(task.Domain, task.Endpoints, task.Options, nil)
	require.NoError(t, err)
	_, err = kv.Put("key", "acknowledged", 0)
	require.NoError(t, err)
	if _, err = kv.LockWithTimeout("lock", "child", patience, 0); err != kvdb.ErrNotSupported { // which its parent asserts
		require.NoError(t, err)
	}
	fmt.Println("\n" + childReady)
	_, err = io.Copy(io.Discard, os.Stdin) // ends when the parent does
	require.NoError(t, err)
}

// After a process is killed, its acknowledged writes are in the store, and others obtain its
// locks.
func durableKilledProcess(e *env) {
	if e.suite.Child == "" {
		e.t.Skip("Harness.Child is not set: name a test there that calls test.Child with the same Init, so that its process can be killed. Only a store that ends with its process does without")
	}
	e.close(e.kv)
	e.killedChild()
	killed := time.Now()
	e.kv = e.open(e.domain)
	e.holds("key", "acknowledged")
	if e.lacks(lockPart) {
		e.refuses(lockPart)
		return
	}
	pair, err := e.kv.LockWithTimeout("lock", "next", deathLimit+patience, 0)
	e.NoError(err)
	e.Less(time.Since(killed), deathLimit+patience/3)
	e.isLocked("lock", "next")
	e.NoError(e.kv.Unlock(pair))
}

// killedChild runs the child until it holds its lock, and kills it.
func (e *env) killedChild() {
	task, err := json.Marshal(childTask{e.domain, e.suite.Endpoints, e.suite.Options})
	e.NoError(err)
	binary, err := os.Executable()
	e.NoError(err)
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^"+e.suite.Child+"$")
	cmd.Env = append(os.Environ(), childVariable+"="+string(task))
	stdin, err := cmd.StdinPipe()
	e.NoError(err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	e.NoError(err)
	e.NoError(cmd.Start())
	var output []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if output = append(output, lines.Text()); lines.Text() == childReady {
			e.NoError(cmd.Process.Kill())
		}
	}
	e.Error(cmd.Wait(), "the child ended by itself")
	e.True(slices.Contains(output, childReady),
		"Harness.Child, %q, must be the name of a test that calls test.Child with an Init that reaches the same store. It said: %q", e.suite.Child, output)
}
