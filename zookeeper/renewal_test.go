package zookeeper

import (
	"testing"

	"github.com/portworx/kvdb/internal/testing/security"
	"github.com/portworx/kvdb/test/servers"
)

func TestRenewal(t *testing.T) { security.Renewal(t, New, servers.ZooKeeper) }
