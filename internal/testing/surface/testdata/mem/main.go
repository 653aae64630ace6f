// This program uses everything that package mem exports.
package main

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

const (
	_ string = mem.Name
	_ string = mem.KvSnap
	_ string = mem.KvUseInterface
	_ string = mem.KvHistory
)

var (
	_                       = []error{mem.ErrSnap, mem.ErrSnapWithInterfaceNotSupported, mem.ErrIllegalSelect}
	_ kvdb.DatastoreInit    = mem.New
	_ kvdb.DatastoreVersion = mem.Version
)

func main() {}
