package kvdb

import "fmt"

// WrapperName is the name of a wrapper around a [Kvdb].
type WrapperName string

// Names of the wrappers that package wrappers registers.
const (
	Wrapper_None     = WrapperName("Wrapper_None")
	Wrapper_Log      = WrapperName("Wrapper_Log")
	Wrapper_NoQuorum = WrapperName("Wrapper_NoQuorum")
)

// WrapperInit returns a wrapper around kv. [AddWrapper] calls it.
type WrapperInit func(kv Kvdb, options map[string]string) (Kvdb, error)

// KvdbWrapper is the part of [Kvdb] with which wrappers are stacked. A [Kvdb]
// that wraps nothing is named [Wrapper_None] and has a nil WrappedKvdb.
type KvdbWrapper interface {
	// WrapperName returns the name of the wrapper.
	WrapperName() WrapperName
	// WrappedKvdb returns the Kvdb below the wrapper.
	WrappedKvdb() Kvdb
	// Removed is called after the wrapper was taken out of its chain.
	Removed()
	// SetWrappedKvdb replaces the Kvdb below the wrapper.
	SetWrappedKvdb(kvdb Kvdb) error
}

// RegisterWrapper makes a wrapper available to [AddWrapper]. It returns [ErrExist] if
// the name is registered already.
func RegisterWrapper(name WrapperName, initFn WrapperInit) error {
	registryMu.Lock()
	defer registryMu.Unlock()
	if _, taken := wrappers[name]; taken {
		return ErrExist
	}
	wrappers[name] = initFn
	return nil
}

// isWrapper reports whether a wrapper of that name is registered.
func isWrapper(name string) bool {
	registryMu.RLock()
	defer registryMu.RUnlock()
	_, registered := wrappers[WrapperName(name)]
	return registered
}

// AddWrapper adds a wrapper to the chain and returns the top of the chain. If the top is
// the log wrapper, the new one goes below it. AddWrapper returns kvdb and [ErrExist] if
// the chain has the wrapper already, or kvdb and [ErrNotSupported] if the wrapper is not
// registered, because github.com/portworx/kvdb/wrappers is not imported. AddWrapper and
// [RemoveWrapper] must not run at the same time as other calls on kvdb.
func AddWrapper(
	wrapper WrapperName,
	kvdb Kvdb,
	options map[string]string,
) (Kvdb, error) {
	if kvdb == nil {
		return nil, fmt.Errorf("%w: no instance to wrap given", ErrIllegal)
	}
	if _, w := findWrapper(wrapper, kvdb); w != nil {
		return kvdb, ErrExist
	}
	registryMu.RLock()
	initFn := wrappers[wrapper]
	registryMu.RUnlock()
	if initFn == nil {
		return kvdb, ErrNotSupported
	}
	if kvdb.WrapperName() != Wrapper_Log {
		wrapped, err := initFn(kvdb, options)
		if err != nil {
			return kvdb, err
		}
		return wrapped, nil
	}
	wrapped, err := initFn(kvdb.WrappedKvdb(), options)
	if err != nil {
		return kvdb, err
	}
	return kvdb, kvdb.SetWrappedKvdb(wrapped)
}

// RemoveWrapper takes a wrapper out of the chain and returns the top of the chain. It
// does nothing if the chain does not have it.
func RemoveWrapper(
	wrapper WrapperName,
	kvdb Kvdb,
) (Kvdb, error) {
	above, w := findWrapper(wrapper, kvdb)
	if w == nil {
		return kvdb, nil
	}
	below := w.WrappedKvdb()
	if above == nil {
		w.Removed()
		return below, nil
	}
	if err := above.SetWrappedKvdb(below); err != nil {
		return kvdb, err
	}
	w.Removed()
	return kvdb, nil
}

// findWrapper returns the wrapper of that name in kv's chain and the one directly above
// it, or nil.
func findWrapper(name WrapperName, kv Kvdb) (above, found Kvdb) {
	for k := kv; k != nil && k.WrapperName() != Wrapper_None; k = k.WrappedKvdb() {
		if k.WrapperName() == name {
			return above, k
		}
		above = k
	}
	return nil, nil
}
