// This program uses everything that package zookeeper exports.
package main

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/zookeeper"
)

const (
	_ string = zookeeper.Name
	_ string = zookeeper.SOH
)

var (
	_                       = struct{ LockerID string }(zookeeper.LockerIDInfo{})
	_ kvdb.DatastoreInit    = zookeeper.New
	_ kvdb.DatastoreVersion = zookeeper.Version
)

func main() {}
