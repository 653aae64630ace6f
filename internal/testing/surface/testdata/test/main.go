// This program uses the names of package test that programs written for earlier releases
// use.
package main

import (
	"testing"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test"
)

var (
	_ func(removeData bool) error = test.StartKvdb(nil)
	_ func() error                = test.StopKvdb(nil)

	_ func(kvdb.DatastoreInit, *testing.T, test.StartKvdb, test.StopKvdb) = test.Run
	_ func(kvdb.DatastoreInit, *testing.T, test.StartKvdb, test.StopKvdb) = test.RunBasic
	_ func(kvdb.DatastoreInit, *testing.T, test.StartKvdb, test.StopKvdb) = test.RunLock
	_ func(kvdb.DatastoreInit, *testing.T, test.StartKvdb, test.StopKvdb) = test.RunWatch
	_ func(kvdb.DatastoreInit, *testing.T)                                = test.RunAuth
	_ func(kvdb.DatastoreInit, *testing.T)                                = test.RunControllerTests

	//lint:ignore SA1019 ExpiryUntold is part of what the package exports.
	_ = test.Traits{ExpiryUntold: true, TTLBound: true, NoTTLOf: true, NoPageOptions: true, NoHooks: true, NoTxDelete: true}
)

func main() {}
