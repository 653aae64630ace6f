// This program uses everything that package wrappers exports.
package main

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/wrappers"
)

const (
	_ string = wrappers.LogLevelOption
	_ string = wrappers.LogAll
	_ string = wrappers.LogFailures
	_ string = wrappers.LogOff
)

var (
	_ func(kvdb.Kvdb, map[string]string) (kvdb.Kvdb, error)              = wrappers.NewLogWrapper
	_ func(kvdb.Kvdb, map[string]string) (kvdb.Kvdb, error)              = wrappers.NewNoKvdbQuorumWrapper
	_ func(string, map[string]string) (string, error)                    = wrappers.Version
	_ func(kvdb.WrapperName, kvdb.Kvdb, ...kvdb.Hook) (kvdb.Kvdb, error) = wrappers.NewHookWrapper
)

func main() {}
