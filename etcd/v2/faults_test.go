package etcdv2

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
	cluster := servers.Etcd35(t, servers.Options{Members: 3})
	faults.Run(t, faults.Config{
		Cluster:   cluster,
		Open:      func() kvdb.Kvdb { return instance(t, cluster, "faults", nil, nil) },
		Duration:  *faultTime,
		CallBound: driver.CallTimeout + 3*time.Second, // more than the limit, because the machine may be busy
		Recovery:  5 * time.Second,
		// A watch may be disconnected for 9 s: three heartbeats and a lost answer. In that
		// time there must be less than 1000 events, by four writers, four clients that lock
		// and unlock, and one that counts.
		Pace: 150 * time.Millisecond,
	})
}
