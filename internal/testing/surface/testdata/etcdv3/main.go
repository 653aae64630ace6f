// This program uses everything that package etcd/v3 exports. The package is named etcdv3.
package main

import (
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/etcd/v3"
)

const _ string = etcdv3.Name

var _ kvdb.DatastoreInit = etcdv3.New

func main() {}
