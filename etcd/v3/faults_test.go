package etcdv3

import (
	"flag"
	"testing"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/testing/faults"
	"github.com/portworx/kvdb/test/servers"
)

var faultTime = flag.Duration("kvdb.faults", 20*time.Second, "how long TestFaults lasts; 2m goes through all faults")

func TestFaults(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Members: 3})
	faults.Run(t, faults.Config{
		Cluster:   cluster,
		Open:      func() kvdb.Kvdb { return instance(t, cluster, "faults", nil) },
		Duration:  *faultTime,
		CallBound: driver.CallTimeout + 3*time.Second, // more than the limit, because the machine may be busy
		Recovery:  5 * time.Second,
	})
}
