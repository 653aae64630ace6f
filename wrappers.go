package kvdb

import "fmt"

// WrapperName is the name of a wrapper around a [Kvdb].
type WrapperName string

// Names of the wrappers in package wrappers, which registers them.
const (
	Wrapper_None     = WrapperName("Wrapper_None")
	Wrapper_Log      = WrapperName("Wrapper_Log")
	Wrapper_NoQuorum = WrapperName("Wrapper_NoQuorum")
)

// WrapperInit is called to put a wrapper around kv.
type WrapperInit func(kv Kvdb, options map[string]string) (Kvdb, error)

// KvdbWrapper is the part of [Kvdb] with which wrappers are stacked. A [Kvdb]
// that wraps nothing is named [Wrapper_None] and has a nil WrappedKvdb.
type KvdbWrapper interface {
	// WrapperName is the name of this wrapper
	WrapperName() WrapperName
	// WrappedKvdb is the Kvdb wrapped by this wrapper
	WrappedKvdb() Kvdb
	// Removed is called when wrapper is removed
	Removed()
	// WrappedKvdb is the Kvdb wrapped by this wrapper
	SetWrappedKvdb(kvdb Kvdb) error
}

// RegisterWrapper makes a wrapper known to [AddWrapper]. A name that is taken is
// [ErrExist].
func RegisterWrapper(name WrapperName, initFn WrapperInit) error {
	registryMu.Lock()
	defer registryMu.Unlock()
	if _, taken := wrappers[name]; taken {
		return ErrExist
	}
	wrappers[name] = initFn
	return nil
}

// AddWrapper adds wrapper if it is not already added, and returns the new top
// of the chain. A log wrapper on top stays there: the new one goes below it.
// A wrapper that is in the chain already is [ErrExist], and one that is not
// registered [ErrNotSupported]: what is missing is an import of
// github.com/portworx/kvdb/wrappers. kvdb itself is returned with the error.
// Adding and removing is not for concurrent use with calls on kvdb.
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

// RemoveWrapper takes wrapper out of the chain and returns the chain's top.
// Without that wrapper in it, kvdb is returned as it is.
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

// findWrapper returns the wrapper of that name in kv's chain and the one
// directly above it; nil where there is none.
func findWrapper(name WrapperName, kv Kvdb) (above, found Kvdb) {
	for k := kv; k != nil && k.WrapperName() != Wrapper_None; k = k.WrappedKvdb() {
		if k.WrapperName() == name {
			return above, k
		}
		above = k
	}
	return nil, nil
}
