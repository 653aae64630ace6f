// This program uses everything that package bolt exports.
package main

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
)

const (
	_ string = bolt.Name
	_ string = bolt.KvSnap
	_ string = bolt.KvUseInterface
	_ string = bolt.KvHistory
	_ string = bolt.Path
	_ string = bolt.DefaultPath
)

var (
	_                       = []error{bolt.ErrSnap, bolt.ErrSnapWithInterfaceNotSupported, bolt.ErrIllegalSelect}
	_ kvdb.DatastoreInit    = bolt.New
	_ kvdb.DatastoreVersion = bolt.Version
)

func main() {}
