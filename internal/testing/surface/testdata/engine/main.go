// This program uses everything that package engine exports.
package main

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
)

var (
	_                                        = engine.Config{Name: "", Domain: "", Store: driver.Store(nil), FatalCb: kvdb.FatalErrorCB(nil)}
	_ func(engine.Config) (kvdb.Kvdb, error) = engine.New
)

func main() {}
