// This program uses everything that package etcd/common exports.
package main

import (
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/etcd/common"
)

const (
	_ int           = common.DefaultRetryCount
	_ time.Duration = common.DefaultIntervalBetweenRetries
	_ string        = common.Bootstrap
	_ time.Duration = common.DefaultDialTimeout
	_ int           = common.DefaultLockTTL
	_ time.Duration = common.DefaultLockRefreshDuration
)

var (
	_ interface {
		GetAuthInfoFromOptions() (transport.TLSInfo, string, string, error)
		GetRetryCount() int
		IsTLSEnabled() bool
	} = common.EtcdCommon(nil)
	_ func(map[string]string) common.EtcdCommon = common.NewEtcdCommon

	lock = common.EtcdLock{
		Done:            make(chan struct{}),
		Unlocked:        bool(false),
		Err:             error(nil),
		Tag:             string(""),
		AcquisitionTime: time.Time{},
	}
	_ sync.Locker = &lock
	_             = common.LockerIDInfo{LockerID: string("")}

	_ kvdb.DatastoreVersion       = common.Version
	_ func(removeData bool) error = common.TestStart
	_ func() error                = common.TestStop
)

func main() {}
