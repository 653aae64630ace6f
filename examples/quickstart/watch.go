package main

import (
	"errors"
	"fmt"
	"iter"

	"github.com/portworx/kvdb"
)

func (t *tour) watch() error {
	events, err := kvdb.Events(t.ctx, t.kv, "jobs/", 0)
	if err != nil {
		return err
	}
	next, stop := iter.Pull2(events)
	defer stop()
	t.say("watching jobs/")

	// One write at a time, because some stores make one event of several quick writes.
	for _, step := range []struct {
		write  func() (*kvdb.KVPair, error)
		action kvdb.KVAction
		name   string
	}{
		{func() (*kvdb.KVPair, error) { return t.kv.Create("jobs/1", "waiting", 0) }, kvdb.KVCreate, "created"},
		{func() (*kvdb.KVPair, error) { return t.kv.Update("jobs/1", "running", 0) }, kvdb.KVSet, "set"},
		{func() (*kvdb.KVPair, error) { return t.kv.Delete("jobs/1") }, kvdb.KVDelete, "deleted"},
	} {
		if _, err := step.write(); err != nil {
			return err
		}
		event, err, _ := next()
		if err != nil {
			return err
		}
		if err := errors.Join(
			want("the event's key", event.Key, "jobs/1"),
			want("the event's action", event.Action, step.action),
		); err != nil {
			return err
		}
		what := fmt.Sprintf("jobs/1 was %s at index %d", step.name, event.ModifiedIndex)
		if event.Action != kvdb.KVDelete {
			what += fmt.Sprintf(": %s", event.Value)
		}
		t.say("%s", what)
	}
	return nil
}

func (t *tour) snapshot() error {
	if err := t.kv.DeleteTree("servers"); err != nil {
		return err
	}
	for _, name := range []string{"alpha", "beta"} {
		if _, err := t.kv.Put("servers/"+name, server{name + ":80", 1}, 0); err != nil {
			return err
		}
	}
	copied, index, err := t.kv.Snapshot([]string{"servers/"}, true)
	if err != nil {
		return err
	}
	t.say("took a snapshot of servers/ at index %d", index)

	later, err := t.kv.Put("servers/delta", server{"delta:80", 1}, 0)
	if err != nil {
		return err
	}
	then, err := copied.Enumerate("servers/")
	if err != nil {
		return err
	}
	now, err := t.kv.Enumerate("servers/")
	if err != nil {
		return err
	}
	t.say("added servers/delta: %d servers in the snapshot, %d in the store", len(then), len(now))

	events, err := kvdb.Events(t.ctx, t.kv, "servers/", index)
	if err != nil {
		return err
	}
	for event, err := range events {
		if err != nil {
			return err
		}
		t.say("a watch from the snapshot's index begins with %s at index %d", event.Key, event.ModifiedIndex)
		return errors.Join(
			want("the servers in the snapshot", len(then), 2),
			want("the servers in the store", len(now), 3),
			want("the first event after the snapshot", event.Key, "servers/delta"),
			want("its index", event.ModifiedIndex, later.ModifiedIndex))
	}
	return errors.New("the watch ended without an event")
}
