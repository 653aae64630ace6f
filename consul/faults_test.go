package consul

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
	cluster := servers.Consul(t, servers.Options{Members: 3})
	faults.Run(t, faults.Config{
		Cluster:   cluster,
		Open:      func() kvdb.Kvdb { return open(t, "faults", cluster.Endpoints(), nil) },
		Duration:  *faultTime,
		CallBound: driver.CallTimeout + 3*time.Second,
		// Consul needs some seconds to elect a leader, and the leader is slow at first.
		Recovery: 20 * time.Second,
	})
}
