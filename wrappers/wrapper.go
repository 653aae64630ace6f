// Package wrappers has the wrappers that can be put around any [kvdb.Kvdb]. Import
// it, and [kvdb.AddWrapper] and [kvdb.WrappersOption] know them by name:
// [kvdb.Wrapper_Log] writes one line an operation to a file, [kvdb.Wrapper_NoQuorum]
// answers [kvdb.ErrNoQuorum] in place of a store that has lost its quorum.
package wrappers

import (
	"fmt"
	"iter"

	"github.com/portworx/kvdb"
)

func init() {
	register(kvdb.Wrapper_Log, NewLogWrapper)
	register(kvdb.Wrapper_NoQuorum, NewNoKvdbQuorumWrapper)
}

// register panics when the program has given the name to a wrapper of its own:
// it would get another one than it asks for.
func register(name kvdb.WrapperName, newWrapper kvdb.WrapperInit) {
	if err := kvdb.RegisterWrapper(name, newWrapper); err != nil {
		panic(fmt.Sprintf("kvdb wrapper %s: %v", name, err))
	}
}

// Version has the signature of [kvdb.DatastoreVersion]. A wrapper is no store and
// has no version: it is always [kvdb.ErrNotSupported]. Ask [kvdb.Version] with the
// name of the backend.
func Version(string, map[string]string) (string, error) {
	return "", kvdb.ErrNotSupported
}

// base is a link in a chain of wrappers. It passes every call on that the
// wrapper around it does not take.
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

// pages is EnumeratePages of kv, or Enumerate where it is no kvdb.Pager.
func pages(kv kvdb.Kvdb, prefix string, size int) iter.Seq2[*kvdb.KVPair, error] {
	if p, ok := kv.(kvdb.Pager); ok {
		return p.EnumeratePages(prefix, size)
	}
	return kvdb.Pairs(kv, prefix)
}
