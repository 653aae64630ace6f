package main

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/portworx/kvdb"
)

// server is the value that the tour stores. Any type that JSON can encode will do.
type server struct {
	Address string
	Weight  int
}

func (t *tour) values() error {
	put, err := t.kv.Put("servers/alpha", server{"10.0.0.1:80", 3}, 0)
	if err != nil {
		return err
	}
	t.say("put servers/alpha at index %d: %s", put.ModifiedIndex, put.Value)

	got, pair, err := kvdb.GetAs[server](t.kv, "servers/alpha")
	if err != nil {
		return err
	}
	t.say("got it back as a %T: %+v", got, got)

	_, created := t.kv.Create("servers/alpha", "another", 0)
	_, missing := t.kv.Get("servers/omega")
	t.say("creating it again: %v; reading a missing key: %v", created, missing)
	return errors.Join(
		want("the value", got, server{"10.0.0.1:80", 3}),
		want("the index", pair.ModifiedIndex, put.ModifiedIndex),
		wantErr("Create of a key that exists", created, kvdb.ErrExist),
		wantErr("Get of a missing key", missing, kvdb.ErrNotFound))
}

func (t *tour) enumerate() error {
	for _, name := range []string{"gamma", "beta"} {
		if _, err := t.kv.Put("servers/"+name, server{name + ":80", 1}, 0); err != nil {
			return err
		}
	}
	servers, err := kvdb.EnumerateAs[server](t.kv, "servers/")
	if err != nil {
		return err
	}
	for _, s := range servers {
		t.say("%s = %+v", s.Pair.Key, s.Value)
	}
	names, err := t.kv.Keys("servers", "")
	if err != nil {
		return err
	}
	t.say("names below servers: %v", names)
	if err := errors.Join(want("the number of servers", len(servers), 3), want("the number of names", len(names), 3)); err != nil {
		return err
	}
	return errors.Join(want("the first server", servers[0].Pair.Key, "servers/alpha"), want("the last name", names[2], "gamma"))
}

func (t *tour) compareAndSet() error {
	old, err := t.kv.Put("counter", "0", 0)
	if err != nil {
		return err
	}
	const writers, steps = 4, 5
	errs := make([]error, writers)
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			for range steps {
				_, err := kvdb.ModifyAs(t.kv, "counter", func(n int, _ bool) (int, error) { return n + 1, nil })
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	wait.Wait()
	n, _, err := kvdb.GetAs[int](t.kv, "counter")
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	t.say("%d writers added 1 to a counter %d times each: %d", writers, steps, n)

	_, stale := t.kv.CompareAndSet(
		&kvdb.KVPair{Key: "counter", Value: json.RawMessage("100"), ModifiedIndex: old.ModifiedIndex},
		kvdb.KVModifiedIndex, nil)
	t.say("setting it from the index it had at first: %v", stale)
	return errors.Join(
		want("the counter", n, writers*steps),
		wantErr("CompareAndSet with an old index", stale, kvdb.ErrModified))
}
