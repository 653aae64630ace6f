// This program uses everything that package consul exports.
package main

import (
	"sort"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul"
)

const (
	_ string = consul.Name
	_ int    = consul.MaxRenewRetries
)

var (
	_ sort.Interface        = consul.CKVPairs{}
	_ kvdb.DatastoreInit    = consul.New
	_ kvdb.DatastoreVersion = consul.Version
)

func main() {}
