// This program uses everything that the root package exports.
package main

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/portworx/kvdb"
)

const (
	_ string           = kvdb.UsernameKey
	_ string           = kvdb.PasswordKey
	_ string           = kvdb.CAFileKey
	_ string           = kvdb.CertFileKey
	_ string           = kvdb.CertKeyFileKey
	_ string           = kvdb.TrustedCAFileKey
	_ string           = kvdb.ClientCertAuthKey
	_ string           = kvdb.RetryCountKey
	_ string           = kvdb.ACLTokenKey
	_ string           = kvdb.CAAuthAddress
	_ string           = kvdb.InsecureSkipVerify
	_ string           = kvdb.TransportScheme
	_ string           = kvdb.LogPathOption
	_ string           = kvdb.ConsulVersion1
	_ string           = kvdb.EtcdBaseVersion
	_ string           = kvdb.EtcdVersion3
	_ string           = kvdb.MemVersion1
	_ string           = kvdb.BoltVersion1
	_ string           = kvdb.ZookeeperVersion1
	_ string           = kvdb.DefaultSeparator
	_ string           = kvdb.PeerPort
	_ string           = kvdb.ClientPort
	_ time.Duration    = kvdb.DefaultLockTryDuration
	_ kvdb.WrapperName = kvdb.Wrapper_None
	_ kvdb.WrapperName = kvdb.Wrapper_Log
	_ kvdb.WrapperName = kvdb.Wrapper_NoQuorum
	_ kvdb.KVAction    = kvdb.KVSet
	_ kvdb.KVAction    = kvdb.KVCreate
	_ kvdb.KVAction    = kvdb.KVGet
	_ kvdb.KVAction    = kvdb.KVDelete
	_ kvdb.KVAction    = kvdb.KVExpire
	_ kvdb.KVAction    = kvdb.KVUknown
	_ kvdb.KVFlags     = kvdb.KVPrevExists
	_ kvdb.KVFlags     = kvdb.KVCreatedIndex
	_ kvdb.KVFlags     = kvdb.KVModifiedIndex
	_ kvdb.KVFlags     = kvdb.KVTTL
)

// These constants have no type, so they can be assigned to any integer.
const (
	_ kvdb.PermissionType = kvdb.ReadPermission
	_ kvdb.PermissionType = kvdb.WritePermission
	_ kvdb.PermissionType = kvdb.ReadWritePermission
	_ int                 = kvdb.ReadPermission
	_ int                 = kvdb.KVCapabilityOrderedUpdates
	_ uint64              = kvdb.KVCapabilityOrderedUpdates
)

var _ = []error{
	kvdb.ErrNotSupported, kvdb.ErrWatchStopped, kvdb.ErrNotFound, kvdb.ErrExist, kvdb.ErrUnmarshal,
	kvdb.ErrIllegal, kvdb.ErrValueMismatch, kvdb.ErrEmptyValue, kvdb.ErrModified, kvdb.ErrSetTTLFailed,
	kvdb.ErrTTLNotSupported, kvdb.ErrInvalidLock, kvdb.ErrNoPassword, kvdb.ErrAuthNotSupported,
	kvdb.ErrNoCertificate, kvdb.ErrUnknownPermission, kvdb.ErrMemberDoesNotExist,
	kvdb.ErrWatchRevisionCompacted, kvdb.ErrLockRefreshFailed, kvdb.ErrLockHoldTimeoutTriggered,
	kvdb.ErrNoConnection, kvdb.ErrNoQuorum,
}

var (
	_ kvdb.Controller = kvdb.ControllerNotSupported

	_ func(error, string, ...interface{})                                                     = kvdb.LogFatalErrorCB
	_ func(string, kvdb.DatastoreInit, kvdb.DatastoreVersion) error                           = kvdb.Register
	_ func(kvdb.WrapperName, kvdb.WrapperInit) error                                          = kvdb.RegisterWrapper
	_ func(kvdb.Kvdb) error                                                                   = kvdb.SetInstance
	_ func() kvdb.Kvdb                                                                        = kvdb.Instance
	_ func(string, string, map[string]string) (string, error)                                 = kvdb.Version
	_ func(string, string, []string, map[string]string, kvdb.FatalErrorCB) (kvdb.Kvdb, error) = kvdb.New
	_ func(kvdb.WrapperName, kvdb.Kvdb, map[string]string) (kvdb.Kvdb, error)                 = kvdb.AddWrapper
	_ func(kvdb.WrapperName, kvdb.Kvdb) (kvdb.Kvdb, error)                                    = kvdb.RemoveWrapper
	_ func(kvdb.Kvdb, string, uint64) (kvdb.UpdatesCollector, error)                          = kvdb.NewUpdatesCollector
	_ func(string, []string, map[string]string, kvdb.FatalErrorCB) (kvdb.Kvdb, error)         = kvdb.DatastoreInit(nil)
	_ func(string, map[string]string) (string, error)                                         = kvdb.DatastoreVersion(nil)
	_ func(kvdb.Kvdb, map[string]string) (kvdb.Kvdb, error)                                   = kvdb.WrapperInit(nil)
	_ func(error, string, ...interface{})                                                     = kvdb.FatalErrorCB(nil)
	_ func(string, interface{}, *kvdb.KVPair, error) error                                    = kvdb.WatchCB(nil)
	_ func(interface{}) bool                                                                  = kvdb.EnumerateSelect(nil)
	_ func(*kvdb.KVPair, interface{}) bool                                                    = kvdb.EnumerateKVPSelect(nil)
	_ func(interface{}) interface{}                                                           = kvdb.CopySelect(nil)
	_ func(*kvdb.KVPair, interface{}) *kvdb.KVPair                                            = kvdb.CopyKVPSelect(nil)
	_ []*kvdb.KVPair                                                                          = kvdb.KVPairs(nil)
	_                                                                                         = int(kvdb.KVAction(0))
	_                                                                                         = uint64(kvdb.KVFlags(0))
	_                                                                                         = int(kvdb.PermissionType(0))
	_                                                                                         = string(kvdb.WrapperName(""))
)

// The interfaces have exactly these methods, because programs implement them.

type controller interface {
	AddMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)
	AddLearner(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)
	RemoveMember(nodeName, nodeIP string) error
	RemoveMemberByID(memberID uint64) error
	UpdateMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)
	ListMembers() (map[uint64]*kvdb.MemberInfo, error)
	SetEndpoints(endpoints []string) error
	GetEndpoints() []string
	Defragment(endpoint string, timeout int) error
}

type wrapper interface {
	WrapperName() kvdb.WrapperName
	WrappedKvdb() kvdb.Kvdb
	Removed()
	SetWrappedKvdb(kvdb kvdb.Kvdb) error
}

type store interface {
	controller
	String() string
	Capabilities() int
	Get(key string) (*kvdb.KVPair, error)
	GetVal(key string, value interface{}) (*kvdb.KVPair, error)
	GetWithCopy(key string, copySelect kvdb.CopySelect) (interface{}, error)
	Put(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error)
	Create(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error)
	Update(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error)
	Enumerate(prefix string) (kvdb.KVPairs, error)
	EnumerateWithSelect(prefix string, enumerateSelect kvdb.EnumerateSelect, copySelect kvdb.CopySelect) ([]interface{}, error)
	EnumerateKVPWithSelect(prefix string, enumerateSelect kvdb.EnumerateKVPSelect, copySelect kvdb.CopyKVPSelect) (kvdb.KVPairs, error)
	Delete(key string) (*kvdb.KVPair, error)
	DeleteTree(prefix string) error
	Keys(prefix, sep string) ([]string, error)
	CompareAndSet(kvp *kvdb.KVPair, flags kvdb.KVFlags, prevValue []byte) (*kvdb.KVPair, error)
	CompareAndDelete(kvp *kvdb.KVPair, flags kvdb.KVFlags) (*kvdb.KVPair, error)
	WatchKey(key string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error
	WatchTree(prefix string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error
	Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error)
	SnapPut(kvp *kvdb.KVPair) (*kvdb.KVPair, error)
	LockWithID(key string, lockerID string) (*kvdb.KVPair, error)
	Lock(key string) (*kvdb.KVPair, error)
	LockWithTimeout(key string, lockerID string, lockTryDuration time.Duration, lockHoldDuration time.Duration) (*kvdb.KVPair, error)
	IsKeyLocked(key string) (bool, string, error)
	Unlock(kvp *kvdb.KVPair) error
	TxNew() (kvdb.Tx, error)
	AddUser(username string, password string) error
	RemoveUser(username string) error
	GrantUserAccess(username string, permType kvdb.PermissionType, subtree string) error
	RevokeUsersAccess(username string, permType kvdb.PermissionType, subtree string) error
	SetFatalCb(f kvdb.FatalErrorCB)
	SetLockHoldDuration(timeout time.Duration)
	GetLockTryDuration() time.Duration
	GetLockHoldDuration() time.Duration
	Serialize() ([]byte, error)
	Deserialize([]byte) (kvdb.KVPairs, error)
	Compact(index uint64) error
	wrapper
}

type tx interface {
	Put(key string, value interface{}, ttl uint64) (*kvdb.KVPair, error)
	Get(key string) (*kvdb.KVPair, error)
	GetVal(key string, value interface{}) (*kvdb.KVPair, error)
	Prepare() error
	Commit() error
	Abort() error
}

type collector interface {
	Stop()
	ReplayUpdates(updateCb []kvdb.ReplayCb) (uint64, error)
}

var (
	_ controller            = kvdb.Controller(nil)
	_ kvdb.Controller       = controller(nil)
	_ wrapper               = kvdb.KvdbWrapper(nil)
	_ kvdb.KvdbWrapper      = wrapper(nil)
	_ store                 = kvdb.Kvdb(nil)
	_ kvdb.Kvdb             = store(nil)
	_ tx                    = kvdb.Tx(nil)
	_ kvdb.Tx               = tx(nil)
	_ collector             = kvdb.UpdatesCollector(nil)
	_ kvdb.UpdatesCollector = collector(nil)
)

// The conversions compile only if the structs have the same fields in the same order.
var (
	_ = kvdb.KVPair(struct {
		Key           string
		Value         []byte
		Action        kvdb.KVAction
		TTL           int64
		KVDBIndex     uint64
		CreatedIndex  uint64
		ModifiedIndex uint64
		Lock          interface{}
	}{})
	_ = kvdb.MemberInfo(struct {
		PeerUrls   []string
		ClientUrls []string
		Leader     bool
		DbSize     int64
		IsHealthy  bool
		ID         string
		Name       string
		HasStarted bool
		IsLearner  bool
	}{})
	_ = kvdb.ReplayCb(struct {
		Prefix    string
		WaitIndex uint64
		Opaque    interface{}
		WatchCB   kvdb.WatchCB
	}{})
)

// Names that earlier releases do not have.
const (
	_ string = kvdb.WrappersOption
	_ string = kvdb.ReadConsistency
	_ string = kvdb.ReadLinearizable
	_ string = kvdb.ReadStale
	_ int    = kvdb.DefaultPageSize
)

type held interface {
	Token() uint64
	Lost() <-chan struct{}
}

var (
	_ = []error{kvdb.ErrTooLarge, kvdb.ErrUnknownOutcome, kvdb.ErrClosed}

	_ func(kvdb.Kvdb) error                                                                    = kvdb.Close
	_ func(context.Context, kvdb.Kvdb) error                                                   = kvdb.Ping
	_ func(context.Context, kvdb.Kvdb) kvdb.Kvdb                                               = kvdb.WithContext
	_ func(kvdb.Kvdb, string) iter.Seq2[*kvdb.KVPair, error]                                   = kvdb.Pairs
	_ func(context.Context, kvdb.Kvdb, string, uint64) (iter.Seq2[*kvdb.KVPair, error], error) = kvdb.Events
	_ func(kvdb.Tx, *kvdb.KVPair) error                                                        = kvdb.TxGuard
	_ func(kvdb.Kvdb, string) (int, *kvdb.KVPair, error)                                       = kvdb.GetAs[int]
	_ func(kvdb.Kvdb, string) ([]kvdb.Typed[int], error)                                       = kvdb.EnumerateAs[int]
	_ func(kvdb.Kvdb, string, func(value int, exists bool) (int, error)) (*kvdb.KVPair, error) = kvdb.ModifyAs[int]
	_                                                                                          = kvdb.Typed[int]{Pair: (*kvdb.KVPair)(nil), Value: 1}
	_                                                                                          = []interface{ String() string }{kvdb.KVSet, kvdb.PermissionType(kvdb.ReadPermission), kvdb.KVPair{}, &kvdb.KVPair{}}
	_ held                                                                                     = kvdb.HeldLock(nil)
	_ kvdb.HeldLock                                                                            = held(nil)
	_ interface{ Guard(*kvdb.KVPair) error }                                                   = kvdb.TxGuarder(nil)
	_ interface {
		BindContext(context.Context) kvdb.Kvdb
	} = kvdb.ContextBinder(nil)
	_ interface {
		EnumeratePages(string, int) iter.Seq2[*kvdb.KVPair, error]
	} = kvdb.Pager(nil)
	_ interface {
		EnumeratePagesWith(string, kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error]
	} = kvdb.PagerWith(nil)
	_ interface {
		TTLOf(string) (time.Duration, bool, error)
	} = kvdb.TTLReader(nil)
	_                                                                          = kvdb.PageOptions{Hidden: true, KeysOnly: true, TTL: true, From: "", Size: 1}
	_ func(kvdb.Kvdb, string, kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] = kvdb.PairsWith
	_ func(kvdb.Kvdb, string) (time.Duration, bool, error)                     = kvdb.TTLOf

	_ func(context.Context, kvdb.Kvdb, iter.Seq2[*kvdb.KVPair, error], kvdb.ManyOptions) (kvdb.Written, error) = kvdb.PutMany

	_ = kvdb.ManyOptions{Workers: 1, Guard: (*kvdb.KVPair)(nil), Report: func(kvdb.Written) {}}
	_ = kvdb.Written{Pairs: 1, Bytes: int64(1), Through: 1}

	_ func(kvdb.Tx, string) error       = kvdb.TxDelete
	_ interface{ Delete(string) error } = kvdb.TxDeleter(nil)
)

func main() {
	var kv kvdb.Kvdb
	if _, closes := kv.(io.Closer); !closes {
		_ = kvdb.Close(kv)
	}
}
