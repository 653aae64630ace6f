// This program uses everything that package driver exports.
package main

import (
	"context"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

const (
	_ int           = driver.NoIndex
	_ time.Duration = driver.CallTimeout
	_ time.Duration = driver.WatchTimeout
)

type (
	withCancel = func(context.Context, time.Duration) (context.Context, context.CancelFunc)
	check      = func(key string) (string, error)
)

var (
	_ func(driver.Backend)                                              = driver.Register
	_ func(map[string]string) (bool, error)                             = driver.StaleReads
	_ withCancel                                                        = driver.WithTimeLimit
	_ func(context.Context) bool                                        = driver.GivenUp
	_ func(context.Context)                                             = driver.AwaitEnd
	_ func(context.Context, error) error                                = driver.NotReached
	_ func(context.Context, error) error                                = driver.WithCause
	_ func(context.Context) error                                       = driver.EndOf
	_ func([]byte) *kvdb.KVPair                                         = driver.NewPair
	_ func(rest, sep string) string                                     = driver.ChildName
	_ func(c driver.Cond, created, modified uint64, value []byte) error = driver.Cond.Check
	_ func(driver.Cond) error                                           = driver.Cond.CheckMissing
	_ func(driver.Cond) bool                                            = driver.Cond.NeedsKey
	_ func(driver.Cond) bool                                            = driver.Cond.NeedsNoKey

	_ = []error{driver.ErrTimeLimit, driver.ErrSnap, driver.ErrSnapWithInterfaceNotSupported, driver.ErrIllegalSelect, &driver.HeldError{Owner: ""}}

	_ = driver.Backend{Name: "", New: kvdb.DatastoreInit(nil), Version: kvdb.DatastoreVersion(nil), Options: []string{}}
	_ = driver.Cond{Absent: true, Present: true, Unborn: true, Modified: uint64(0), Created: uint64(0), HasValue: true, Value: []byte{}}
	_ = driver.Profile{
		MinTTL: time.Duration(0), MaxTTL: time.Duration(0), NoTTL: true, NoEmptyValue: true, MaxKey: int(0), MaxValue: int(0),
		MaxTxOps: int(0), MaxTxBytes: int(0), CheckKey: check(nil), CheckPrefix: check(nil), Capabilities: int(0),
		PrivateKeyspace: true, EventKeyAsPrefix: true, OpTimeout: time.Duration(0), NoKeyAboveKeys: true, HiddenUnlisted: true, SlowTTL: true, TxDeletes: true,
		Server: driver.ServerLimits{MaxValue: int(0), MaxTxOps: int(0), MaxTxBytes: int(0), Defaults: true},
	}
	_ = driver.ListOptions{From: "", Limit: int(0), At: uint64(0), KeysOnly: true, TTL: true}
	_ = driver.Page{Pairs: kvdb.KVPairs{}, Index: uint64(0), More: true}
	_ = driver.Write{Key: "", Value: []byte{}, Object: any(nil), TTL: time.Duration(0), Cond: driver.Cond{}, Delete: true}
	_ = driver.Indexes{Created: uint64(0), Modified: uint64(0)}
	_ = driver.WatchRequest{Key: "", Prefix: true, After: uint64(0)}
	_ = driver.Read{Key: "", Modified: uint64(0)}

	_ driver.Store       = driver.Store(nil)
	_ driver.Stream      = driver.Stream(nil)
	_ driver.Lease       = driver.Lease(nil)
	_ driver.Snapshotter = driver.Snapshotter(nil)
	_ driver.Transactor  = driver.Transactor(nil)
	_ driver.TxChecker   = driver.TxChecker(nil)
	_ driver.Creator     = driver.Creator(nil)
	_ driver.ObjectStore = driver.ObjectStore(nil)
	_ driver.ChildLister = driver.ChildLister(nil)
	_ driver.TTLReader   = driver.TTLReader(nil)
	_ driver.SnapPutter  = driver.SnapPutter(nil)
	_ driver.Compacter   = driver.Compacter(nil)
	_ driver.UserAdmin   = driver.UserAdmin(nil)
	_ driver.MemberAdmin = driver.MembersNotSupported{}
)

func main() {}
