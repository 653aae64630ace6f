package test_test

import (
	"context"
	"sync"
	"time"

	"github.com/portworx/kvdb"
)

// everyHook is a hook.
type everyHook interface {
	kvdb.HookOperation
	kvdb.HookWatch
	kvdb.HookDelivery
	kvdb.HookLock
}

// hooks is a mutant that puts something between the instance and its hooks.
type hooks struct {
	sound
	between func(everyHook) kvdb.Hook
	added   *sync.Map // hook → what was added in its place
}

func hooksOf(between func(everyHook) kvdb.Hook) func(sound) kvdb.Kvdb {
	return func(s sound) kvdb.Kvdb { return hooks{s, between, &sync.Map{}} }
}

func (m hooks) AddHooks(all ...kvdb.Hook) {
	for _, h := range all {
		between, _ := m.added.LoadOrStore(h, m.between(h.(everyHook)))
		m.sound.AddHooks(between)
	}
}

func (m hooks) RemoveHooks(all ...kvdb.Hook) {
	for _, h := range all {
		if between, added := m.added.Load(h); added {
			m.sound.RemoveHooks(between)
		}
	}
}

func (m hooks) BindContext(ctx context.Context) kvdb.Kvdb {
	return hooks{sound{kvdb.WithContext(ctx, m.Kvdb)}, m.between, m.added}
}

// stickyHooks is a backend whose hooks cannot be removed.
type stickyHooks struct{ sound }

func (stickyHooks) RemoveHooks(...kvdb.Hook) {}

type operationsTwice struct{ everyHook }

func (h *operationsTwice) OnOperationEnd(ctx context.Context, op kvdb.Operation, outcome kvdb.Outcome, err error, took time.Duration) {
	h.everyHook.OnOperationEnd(ctx, op, outcome, err, took)
	if op.Name == "delete_tree" {
		h.everyHook.OnOperationEnd(h.OnOperationStart(ctx, op), op, outcome, err, took)
	}
}

type lockExists struct{ everyHook }

func (h *lockExists) OnOperationEnd(ctx context.Context, op kvdb.Operation, outcome kvdb.Outcome, err error, took time.Duration) {
	if outcome == kvdb.OutcomeLocked {
		outcome = kvdb.OutcomeExists
	}
	h.everyHook.OnOperationEnd(ctx, op, outcome, err, took)
}

type noCommits struct{ everyHook }

func (h *noCommits) OnOperationStart(ctx context.Context, op kvdb.Operation) context.Context {
	if op.Name == "commit" {
		return ctx
	}
	return h.everyHook.OnOperationStart(ctx, op)
}

func (h *noCommits) OnOperationEnd(ctx context.Context, op kvdb.Operation, outcome kvdb.Outcome, err error, took time.Duration) {
	if op.Name != "commit" {
		h.everyHook.OnOperationEnd(ctx, op, outcome, err, took)
	}
}

type noView struct{ everyHook }

func (h *noView) OnOperationStart(_ context.Context, op kvdb.Operation) context.Context {
	return h.everyHook.OnOperationStart(context.Background(), op)
}

type neverLost struct{ everyHook }

func (*neverLost) OnLockLost(kvdb.LockInfo, time.Duration, string) {}

type neverTooLong struct{ everyHook }

func (*neverTooLong) OnLockHeldTooLong(kvdb.LockInfo, time.Duration) {}

type fullQueue struct{ everyHook }

func (h *fullQueue) OnWatchQueue(w kvdb.Watch, queued int) {
	if queued > 0 {
		h.everyHook.OnWatchQueue(w, queued)
	}
}

type deliveriesTwice struct{ everyHook }

func (h *deliveriesTwice) OnDelivery(d kvdb.Delivery) {
	h.everyHook.OnDelivery(d)
	h.everyHook.OnDelivery(d)
}
