// This program uses everything that package common exports, as a backend outside of this
// module does.
package main

import (
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/common"
)

type queue interface {
	Enqueue(key string, kvp *kvdb.KVPair, err error)
	Dequeue() (string, *kvdb.KVPair, error)
}

type backend struct{ common.BaseKvdb }

type base interface {
	WrapperName() kvdb.WrapperName
	WrappedKvdb() kvdb.Kvdb
	Removed()
	SetWrappedKvdb(kvdb.Kvdb) error
	SetFatalCb(kvdb.FatalErrorCB)
	SetLockHoldDuration(time.Duration)
	GetLockTryDuration() time.Duration
	GetLockHoldDuration() time.Duration
	CheckLockTimeout(key string, start time.Time, timeout time.Duration)
	LockTimedout(key string, after time.Duration)
	SerializeAll(kvdb.KVPairs) ([]byte, error)
	DeserializeAll([]byte) (kvdb.KVPairs, error)
}

var (
	_ func(interface{}) ([]byte, error) = common.ToBytes
	_ func([]string) []string           = common.PrunePrefixes
	_ func() common.WatchUpdateQueue    = common.NewWatchUpdateQueue
	_ queue                             = common.WatchUpdateQueue(nil)
	_ common.WatchUpdateQueue           = queue(nil)
	_ base                              = &backend{}

	_ = common.BaseKvdb{
		LockHoldTimeout: time.Duration(0),
		FatalCb:         kvdb.FatalErrorCB(nil),
		LockTryDuration: time.Duration(0),
	}
)

func main() {}
