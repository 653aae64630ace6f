// This program uses everything that package etcd/v2 exports. The package is named etcdv2.
package main

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/etcd/v2"
)

const _ string = etcdv2.Name

var _ kvdb.DatastoreInit = etcdv2.New

func main() {}
