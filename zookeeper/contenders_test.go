package zookeeper

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

const (
	contenders = 20
	// contender is the environment variable with the endpoint for a contender.
	contender = "KVDB_ZOOKEEPER_CONTENDER"
	// obtained is what a contender that has the lock prints before the token.
	obtained = "obtained "
)

// TestContender runs in the processes that TestKilledContenders starts. It
// obtains the lock, prints the token, and holds the lock until it is killed.
func TestContender(t *testing.T) {
	endpoint := os.Getenv(contender)
	if endpoint == "" {
		t.Skip("runs only in a process that TestKilledContenders starts")
	}
	kv, err := New("d", []string{endpoint}, nil, nil)
	require.NoError(t, err)
	pair, err := kv.LockWithTimeout("lock", strconv.Itoa(os.Getpid()), time.Hour, 0)
	require.NoError(t, err)
	fmt.Printf("\n%s%d\n", obtained, pair.ModifiedIndex)
	_, err = io.Copy(io.Discard, os.Stdin) // ends when the parent does
	require.NoError(t, err)
}

// claim is a process that has printed that it has the lock.
type claim struct {
	process *exec.Cmd
	token   uint64
}

// contend starts a contender.
func contend(t *testing.T, endpoint string, claims chan<- claim, reading *sync.WaitGroup) {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(binary, "-test.run=^TestContender$")
	cmd.Env = append(os.Environ(), contender+"="+endpoint)
	_, err = cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // most are dead by then
	reading.Go(func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if number, ok := strings.CutPrefix(lines.Text(), obtained); ok {
				token, err := strconv.ParseUint(number, 10, 64)
				if err != nil {
					t.Errorf("a contender said %q", lines.Text())
				}
				claims <- claim{cmd, token}
			}
		}
		_ = cmd.Wait() // it was killed
	})
}

// Many processes contend for a lock, and each holder is killed. There is
// never more than one holder, and another process gets the lock.
func TestKilledContenders(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"maxSessionTimeout=5000"}}).All()[0]
	claims := make(chan claim, contenders)
	var reading sync.WaitGroup
	t.Cleanup(reading.Wait) // after the remaining processes are killed
	for range contenders {
		contend(t, member.Endpoint(), claims, &reading)
	}
	watcher := instance(t, "d", []string{member.Endpoint()}, nil)
	token := uint64(0)
	var slowest time.Duration
	for range *kills {
		began := time.Now()
		holder := receive(t, claims, "a holder")
		slowest = max(slowest, time.Since(began))
		require.Greater(t, holder.token, token)
		token = holder.token
		// While it lives no other process gets the lock.
		select {
		case other := <-claims:
			require.FailNow(t, "two holders", "%d and %d", holder.process.Process.Pid, other.process.Process.Pid)
		case <-time.After(rand.N(500 * time.Millisecond)):
		}
		locked, owner, err := watcher.IsKeyLocked("lock")
		require.NoError(t, err)
		require.True(t, locked)
		require.Equal(t, strconv.Itoa(holder.process.Process.Pid), owner)
		require.Empty(t, claims)
		require.NoError(t, holder.process.Process.Kill())
		contend(t, member.Endpoint(), claims, &reading)
	}
	t.Logf("the next holder was there after %v at most", slowest)
}

// Many instances contend for a lock, and each holder is cut off for ever. It
// knows that the lock is lost before the next one gets it.
func TestContendersThatAreCutOff(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"maxSessionTimeout=5000"}}).All()[0]
	type holder struct {
		o    *observer
		pair *kvdb.KVPair
	}
	held := make(chan holder)
	over := make(chan struct{})
	var running sync.WaitGroup
	defer running.Wait()
	var holders atomic.Int32
	contend := func() {
		for {
			o := observe(t, member)
			kv, err := New("d", []string{o.Addr().String()}, nil, func(error, string, ...interface{}) {})
			if err != nil {
				t.Error(err)
				return
			}
			locked := make(chan *kvdb.KVPair, 1)
			go func() {
				pair, _ := kv.LockWithTimeout("lock", "me", time.Hour, 0)
				locked <- pair
			}()
			select {
			case pair := <-locked:
				if pair == nil { // no connection for too long
					o.kill()
					_ = kvdb.Close(kv)
					continue
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				select {
				case held <- holder{o, pair}:
					<-pair.Lock.(kvdb.HeldLock).Lost()
					holders.Add(-1)
				case <-over:
				}
				o.kill()
				_ = kvdb.Close(kv)
			case <-over:
				_ = kvdb.Close(kv)
				<-locked
			}
			select {
			case <-over:
				return
			default:
			}
		}
	}
	for range contenders {
		running.Go(contend)
	}
	token := uint64(0)
	for range *kills {
		h := receive(t, held, "a holder")
		require.Greater(t, h.pair.ModifiedIndex, token)
		token = h.pair.ModifiedIndex
		h.o.kill()
	}
	close(over)
}
