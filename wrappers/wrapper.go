// Package wrappers has wrappers for any [kvdb.Kvdb]. It registers them for [kvdb.AddWrapper]
// and [kvdb.WrappersOption]: [kvdb.Wrapper_Log] writes a line for each operation to a file,
// and [kvdb.Wrapper_NoQuorum] returns [kvdb.ErrNoQuorum] for a store that has lost its
// quorum.
package wrappers

import (
	"fmt"

	"github.com/portworx/kvdb"
)

func init() {
	register(kvdb.Wrapper_Log, NewLogWrapper, declared.Names()...)
	register(kvdb.Wrapper_NoQuorum, NewNoKvdbQuorumWrapper)
}

// register registers a wrapper and its options. It panics if the program has registered a
// wrapper of its own with that name, because the program would get the wrong one.
func register(name kvdb.WrapperName, newWrapper kvdb.WrapperInit, options ...string) {
	if err := kvdb.RegisterWrapper(name, newWrapper); err != nil {
		panic(fmt.Sprintf("kvdb wrapper %s: %v", name, err))
	}
	kvdb.RegisterOptions(string(name), options...)
}

// Version returns [kvdb.ErrNotSupported], because a wrapper has no version. It has the
// signature of [kvdb.DatastoreVersion]. Use [kvdb.Version] with the name of the backend.
func Version(string, map[string]string) (string, error) {
	return "", kvdb.ErrNotSupported
}

// base is embedded in a wrapper. It passes on the calls that the wrapper does not implement.
type base struct {
	kvdb.Kvdb
	name kvdb.WrapperName
}

func (b *base) WrapperName() kvdb.WrapperName { return b.name }

func (b *base) WrappedKvdb() kvdb.Kvdb { return b.Kvdb }

func (b *base) SetWrappedKvdb(kv kvdb.Kvdb) error {
	b.Kvdb = kv
	return nil
}
