package kvdb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/wrappers"
)

func ExampleNew() {
	kv, err := kvdb.New(mem.Name, "my/app", nil, map[string]string{kvdb.ReadConsistency: kvdb.ReadStale},
		func(err error, format string, args ...interface{}) {
			log.Printf("%v: %s", err, fmt.Sprintf(format, args...)) // a lock was lost, for example
		})
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	fmt.Println(kv)

	_, err = kvdb.New("a store that is not imported", "", nil, nil, nil)
	fmt.Println(errors.Is(err, kvdb.ErrNotSupported))
	// Output:
	// kv-mem
	// true
}

func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c := kvdb.Config{
		Backend: mem.Name,
		Domain:  "my/app",
		Options: map[string]string{"KvHistroy": "100"},
		Strict:  true,
		Logger:  slog.Default(),
	}
	_, err := kvdb.Open(ctx, c)
	fmt.Println(err)

	c.Options = map[string]string{mem.KvHistory: "100"}
	kv, err := kvdb.Open(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	fmt.Println(kv)
	// Output:
	// Illegal operation: option "KvHistroy" is not known to kv-mem; did you mean "KvHistory"?
	// kv-mem
}

func ExampleBackends() {
	fmt.Println(slices.Contains(kvdb.Backends(), mem.Name))
	// Output: true
}

func ExampleRegister() {
	// A backend calls this in its init function.
	if err := kvdb.Register("my-store", mem.New, mem.Version); err != nil && !errors.Is(err, kvdb.ErrExist) {
		log.Fatal(err)
	}
	kv, err := kvdb.New("my-store", "my/app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(kvdb.Close(kv))
	// Output: <nil>
}

func ExampleRegisterOptions() {
	// A backend or wrapper calls this in its init function.
	kvdb.RegisterOptions("Wrapper_Example", "ExampleLevel")
	_, err := kvdb.Open(context.Background(), kvdb.Config{
		Backend: mem.Name, Options: map[string]string{"ExampleLevel": "1"}, Strict: true,
	})
	fmt.Println(err)
	// Output:
	// Illegal operation: option "ExampleLevel" is an option of Wrapper_Example, not of kv-mem
}

func ExampleVersion() {
	version, err := kvdb.Version(mem.Name, "", nil)
	fmt.Println(version, err)
	// Output: memv1 <nil>
}

func ExampleSetInstance() {
	kv := open()
	defer kvdb.Close(kv)
	if err := kvdb.SetInstance(kv); err != nil {
		log.Fatal(err)
	}
	defer kvdb.SetInstance(nil) // clears it
	fmt.Println(kvdb.Instance() == kv)
	// Output: true
}

func ExampleInstance() {
	fmt.Println(kvdb.Instance()) // nobody has called SetInstance
	// Output: <nil>
}

func ExampleClose() {
	kv := open()
	if _, err := kv.Lock("backup"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(kvdb.Close(kv)) // releases the lock
	_, err := kv.Get("key")
	fmt.Println(err)
	// Output:
	// <nil>
	// Kvdb instance is closed
}

func ExampleGetAs() {
	kv := open()
	defer kvdb.Close(kv)
	if _, err := kv.Put("volumes/a", volume{Size: 10}, 0); err != nil {
		log.Fatal(err)
	}
	v, pair, err := kvdb.GetAs[volume](kv, "volumes/a")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Size, pair.ModifiedIndex)

	_, _, err = kvdb.GetAs[int](kv, "volumes/a")
	fmt.Println(errors.Is(err, kvdb.ErrUnmarshal))
	// Output:
	// 10 1
	// true
}

func ExampleEnumerateAs() {
	kv := open()
	defer kvdb.Close(kv)
	for i, key := range []string{"volumes/a", "volumes/b"} {
		if _, err := kv.Put(key, volume{Size: i}, 0); err != nil {
			log.Fatal(err)
		}
	}
	volumes, err := kvdb.EnumerateAs[volume](kv, "volumes/")
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range volumes {
		fmt.Println(v.Pair.Key, v.Value.Size)
	}
	// Output:
	// volumes/a 0
	// volumes/b 1
}

func ExampleAddWrapper() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "audit.log")
	kv, err := kvdb.AddWrapper(kvdb.Wrapper_Log, open(), map[string]string{
		kvdb.LogPathOption:      path,
		wrappers.LogLevelOption: wrappers.LogFailures,
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = kv.Get("key") // the wrapper logs this
	fmt.Println(err)
	if err := kvdb.Close(kv); err != nil {
		log.Fatal(err)
	}
	lines, err := os.ReadFile(path)
	fmt.Println(len(lines) > 0, err)
	// Output:
	// Key not found
	// true <nil>
}

func ExampleRemoveWrapper() {
	kv, err := kvdb.AddWrapper(kvdb.Wrapper_NoQuorum, open(), nil) // the store lost its quorum
	if err != nil {
		log.Fatal(err)
	}
	_, err = kv.Get("key")
	fmt.Println(errors.Is(err, kvdb.ErrNoQuorum))

	if kv, err = kvdb.RemoveWrapper(kvdb.Wrapper_NoQuorum, kv); err != nil { // the quorum is back
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	_, err = kv.Get("key")
	fmt.Println(err)
	// Output:
	// true
	// Key not found
}

// readOnly is a wrapper that refuses Put. It has the methods of KvdbWrapper.
type readOnly struct{ kvdb.Kvdb }

func (r *readOnly) WrapperName() kvdb.WrapperName { return "Wrapper_ReadOnly" }
func (r *readOnly) WrappedKvdb() kvdb.Kvdb        { return r.Kvdb }
func (r *readOnly) Removed()                      {}
func (r *readOnly) SetWrappedKvdb(kv kvdb.Kvdb) error {
	r.Kvdb = kv
	return nil
}

func (r *readOnly) Put(string, interface{}, uint64) (*kvdb.KVPair, error) {
	return nil, kvdb.ErrNotSupported
}

func ExampleRegisterWrapper() {
	wrap := func(kv kvdb.Kvdb, _ map[string]string) (kvdb.Kvdb, error) { return &readOnly{kv}, nil }
	if err := kvdb.RegisterWrapper("Wrapper_ReadOnly", wrap); err != nil && !errors.Is(err, kvdb.ErrExist) {
		log.Fatal(err)
	}
	kv, err := kvdb.New(mem.Name, "my/app", nil, map[string]string{kvdb.WrappersOption: "Wrapper_ReadOnly"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	_, err = kv.Put("key", "value", 0)
	fmt.Println(err)
	// Output: implementation not supported
}

func ExampleNewUpdatesCollector() {
	kv := open()
	defer kvdb.Close(kv)
	first, err := kv.Put("jobs/1", "run", 0)
	if err != nil {
		log.Fatal(err)
	}
	collector, err := kvdb.NewUpdatesCollector(kv, "jobs/", first.ModifiedIndex)
	if err != nil {
		log.Fatal(err)
	}
	defer collector.Stop()
	// Here a program reads the state, while the collector keeps the later updates. Then the
	// program replays them.
	show := func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		fmt.Println(pair.Key, err)
		return err
	}
	replay := []kvdb.ReplayCb{{Prefix: "jobs/", WaitIndex: first.ModifiedIndex, WatchCB: show}}
	version, err := collector.ReplayUpdates(replay)
	fmt.Println(version, err) // nothing has happened since
	// Output: 1 <nil>
}

func ExampleLogFatalErrorCB() {
	// The program panics if its lock is lost.
	kv, err := kvdb.New(mem.Name, "my/app", nil, nil, kvdb.LogFatalErrorCB)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(kvdb.Close(kv))
	// Output: <nil>
}

func ExamplePing() {
	kv, err := kvdb.New(mem.Name, "my/app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	ready := func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return kvdb.Ping(ctx, kv) == nil
	}
	fmt.Println(ready())
	if err := kvdb.Close(kv); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ready())
	// Output:
	// true
	// false
}

func ExampleKVPair_String() {
	kv, err := kvdb.New(mem.Name, "my/app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	pair, err := kv.Put("volumes/1", "a value", 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(pair)
	// Output: "volumes/1": "a value", set, created 1, modified 1, index 1
}

// failures is a hook that prints the operations that fail.
type failures struct{}

func (failures) OnOperationStart(ctx context.Context, _ kvdb.Operation) context.Context { return ctx }

func (failures) OnOperationEnd(_ context.Context, op kvdb.Operation, outcome kvdb.Outcome, err error, _ time.Duration) {
	if !outcome.IsAnswer() {
		fmt.Println(op.Name, outcome, err)
	}
}

func ExampleAddHooks() {
	kv, err := kvdb.New(mem.Name, "my/app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	if err := kvdb.AddHooks(kv, failures{}); err != nil {
		log.Fatal(err)
	}
	_, _ = kv.Get("missing") // an answer, not a failure
}

func ExampleRemoveHooks() {
	kv, err := kvdb.New(mem.Name, "my/app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	if err := kvdb.AddHooks(kv, failures{}); err != nil {
		log.Fatal(err)
	}
	kvdb.RemoveHooks(kv, failures{})
}

func ExampleOutcomeOf() {
	fmt.Println(kvdb.OutcomeOf(kvdb.ErrNotFound))
	fmt.Println(kvdb.OutcomeOf(kvdb.ErrNotFound).IsAnswer())
	// Output:
	// not_found
	// true
}

func ExampleLimitsOf() {
	kv, err := kvdb.New(mem.Name, "my/app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	limits := kvdb.LimitsOf(kv)
	for _, pair := range []*kvdb.KVPair{{Key: "volumes/a", Value: []byte("v")}, {Value: []byte("v")}} {
		if limits.CheckKey != nil { // nil if the limits are not known
			if _, err := limits.CheckKey(pair.Key); err != nil {
				fmt.Println(err)
			}
		}
		if limits.MaxValue > 0 && len(pair.Value) > limits.MaxValue {
			fmt.Println(pair.Key, "may be too large")
		}
		if limits.NoEmptyValue && len(pair.Value) == 0 {
			fmt.Println(pair.Key, "is empty")
		}
	}
	batch := 0 // the size of a transaction
	for _, key := range []string{"volumes/b", "volumes/c"} {
		batch += limits.TxBytes(key, []byte("value"))
	}
	fmt.Println(limits.MaxTxBytes == 0 || batch <= limits.MaxTxBytes)
	// Output:
	// Illegal operation: key "": it is empty
	// true
}
