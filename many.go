package kvdb

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
)

const (
	// manyWorkers is the number of transactions that PutMany runs at a time, and
	// manySingles that of single writes, unless the caller says otherwise.
	manyWorkers = 4
	manySingles = 64
	// maxManyOps and maxManyBytes bound a transaction where the store has no smaller limit,
	// because larger ones are not faster. The others are for a store that does not report
	// its limits: those that all servers accept.
	maxManyOps       = 4096
	maxManyBytes     = 4 << 20
	unknownManyOps   = 64
	unknownManyBytes = 256 << 10
	// manyGuardOps is the largest number of operations that the check of a lock takes.
	manyGuardOps = 2
)

// ManyOptions are the options of [PutMany]. The zero value is usually right.
type ManyOptions struct {
	// Workers is the number of writes that run at a time. If it is not positive, it depends
	// on whether the store has transactions.
	Workers int
	// Guard is the pair of a lock that a Lock call of the same instance returned. Each
	// transaction commits only if the lock is still held, see [TxGuard]. Where a write cannot
	// be tied to the lock (etcd v2, or a pair that is too large for a transaction), PutMany
	// looks at its Lost channel before the write. If the lock is not held, the error wraps
	// ErrInvalidLock.
	Guard *KVPair
	// Report is called after each write with what is written so far, on the goroutine that
	// called PutMany.
	Report func(Written)
}

// Written is what [PutMany] has certainly written. Pairs whose outcome is unknown do not
// count.
type Written struct {
	// Pairs is the number of pairs that are written.
	Pairs int
	// Bytes is the size of their keys and values.
	Bytes int64
	// Through is the number of pairs at the start of the sequence that are all written.
	Through int
}

// PutMany writes the pairs of a sequence, in the largest transactions that the store takes
// and several at a time, so it is faster than single writes. It is not atomic as a whole.
// Pairs with the same key are written one after the other in their order, those of
// different keys in any order. Memory is bounded by the number of workers times the size of
// a transaction.
//
// A pair is written as [Kvdb.Put] does with its TTL (in seconds, 0 for none). A pair whose
// Action is KVDelete or KVExpire deletes its key, and it is no error if the key does not
// exist. A pair and its value must not change until PutMany returns.
//
// The first error ends PutMany: that of a write, of ctx or of the sequence, or one that wraps
// [ErrIllegal] if a pair is nil. PutMany first waits for the writes that run; an error of the
// sequence also lets it write the pairs before. No write is repeated, so an error that wraps
// [ErrUnknownOutcome] means that pairs may be written which Written does not count. PutMany
// may be called again with the pairs from Written.Through on: the last pair of each key is what
// remains.
func PutMany(ctx context.Context, kv Kvdb, pairs iter.Seq2[*KVPair, error], o ManyOptions) (Written, error) {
	m, err := newMany(ctx, kv, o)
	if err != nil {
		return Written{}, err
	}
	defer m.running.Wait() // also if pairs or Report panics
	for pair, failed := range pairs {
		if failed != nil {
			err = failed
		} else {
			err = m.take(pair)
		}
		if err != nil || m.err != nil {
			break
		}
	}
	m.flush()
	for m.active > 0 {
		m.collect(<-m.results)
	}
	if m.err != nil {
		err = m.err
	}
	return m.written, err
}

// many is the state of a PutMany. Its workers use the fields before results.
type many struct {
	ctx    context.Context
	kv     Kvdb // bound to ctx
	guard  *KVPair
	lost   <-chan struct{} // closed when the lock guard is lost; nil without a guard
	ops    atomic.Int64    // the maximum number of pairs in a transaction
	single atomic.Bool     // the store has no transactions over several keys

	results  chan *manyBatch // of finished batches; never blocks
	running  sync.WaitGroup
	workers  int // 0 for the default
	report   func(Written)
	limits   Limits
	maxBytes int // of a transaction
	batch    *manyBatch
	order    []*manyBatch        // those that run or have finished, from the first that is not written
	busy     map[string]struct{} // the keys of batch and of what runs
	active   int                 // the number of batches that run
	written  Written
	err      error // the first error of a write
}

// manyBatch is a part of the sequence that one worker writes, in order.
type manyBatch struct {
	pairs []*KVPair
	keys  []string // as the store keeps them
	size  int      // for maxBytes
	n     int      // the number of pairs that are written: all if err is nil
	err   error
	done  bool
}

func newMany(ctx context.Context, kv Kvdb, o ManyOptions) (*many, error) {
	l := LimitsOf(kv)
	m := &many{
		ctx: ctx, kv: WithContext(ctx, kv), guard: o.Guard, workers: max(o.Workers, 0), report: o.Report,
		limits: l, busy: map[string]struct{}{}, batch: &manyBatch{},
	}
	m.results = make(chan *manyBatch, max(o.Workers, manySingles))
	ops := maxManyOps
	m.maxBytes = maxManyBytes
	if l.CheckKey == nil {
		ops, m.maxBytes = unknownManyOps, unknownManyBytes
	}
	if l.MaxTxOps > 0 {
		ops = min(ops, l.MaxTxOps)
	}
	if l.MaxTxBytes > 0 {
		m.maxBytes = min(m.maxBytes, l.MaxTxBytes)
	}
	m.single.Store(ops == 1)
	if o.Guard != nil {
		lock, ok := o.Guard.Lock.(HeldLock)
		if !ok {
			return nil, ErrInvalidLock
		}
		m.lost = lock.Lost()
		ops = max(ops-manyGuardOps, 1)
		m.maxBytes -= l.TxBytes(o.Guard.Key, nil)
	}
	m.ops.Store(int64(ops))
	return m, nil
}

// take adds a pair of the sequence to the batch, and sends the batch when it is full.
func (m *many) take(pair *KVPair) error {
	if pair == nil {
		return fmt.Errorf("%w: the sequence has a pair that is nil", ErrIllegal)
	}
	if err := m.ended(); err != nil {
		return err
	}
	m.poll()
	key := pair.Key
	if m.limits.CheckKey != nil {
		if stored, err := m.limits.CheckKey(key); err == nil { // otherwise the write returns err
			key = stored
		}
	}
	size := m.limits.TxBytes(key, pair.Value)
	_, busy := m.busy[key]
	if busy || len(m.batch.pairs) >= m.maxPairs() || m.batch.size+size > m.maxBytes {
		m.flush()
	}
	for m.isBusy(key) {
		m.collect(<-m.results)
	}
	m.busy[key] = struct{}{}
	m.batch.pairs, m.batch.keys = append(m.batch.pairs, pair), append(m.batch.keys, key)
	m.batch.size += size
	return nil
}

func (m *many) isBusy(key string) bool {
	_, busy := m.busy[key]
	return busy && m.err == nil
}

// flush sends the batch to a worker, unless a write has failed.
func (m *many) flush() {
	for m.active > 0 && m.active >= m.maxActive() {
		m.collect(<-m.results)
	}
	if len(m.batch.pairs) == 0 || m.err != nil {
		return
	}
	b := m.batch
	m.batch = &manyBatch{}
	m.order = append(m.order, b)
	m.active++
	m.running.Go(func() {
		b.n, b.err = m.write(b.pairs)
		m.results <- b
	})
}

// maxActive is the maximum number of batches that run at a time.
func (m *many) maxActive() int {
	switch {
	case m.workers > 0:
		return m.workers
	case m.single.Load():
		return manySingles
	}
	return manyWorkers
}

// poll collects the batches that have finished.
func (m *many) poll() {
	for {
		select {
		case b := <-m.results:
			m.collect(b)
		default:
			return
		}
	}
}

// collect notes the result of a batch.
func (m *many) collect(b *manyBatch) {
	m.active--
	b.done = true
	if m.err == nil {
		m.err = b.err
	}
	for _, key := range b.keys {
		delete(m.busy, key)
	}
	for _, pair := range b.pairs[:b.n] {
		m.written.Bytes += int64(len(pair.Key))
		if !deletes(pair) {
			m.written.Bytes += int64(len(pair.Value))
		}
	}
	m.written.Pairs += b.n
	b.pairs, b.keys = nil, nil
	m.advance()
	if m.report != nil {
		m.report(m.written)
	}
}

// advance counts the batches at the start of the sequence.
func (m *many) advance() {
	for len(m.order) > 0 && m.order[0].done {
		first := m.order[0]
		m.written.Through += first.n
		first.n = 0
		if first.err != nil {
			return
		}
		m.order = m.order[1:]
	}
}
