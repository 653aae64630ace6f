package kvdb_test

import (
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// Programs compare these texts, and search logs for them.
func TestErrorTexts(t *testing.T) {
	for err, text := range map[error]string{
		kvdb.ErrNotSupported:             "implementation not supported",
		kvdb.ErrWatchStopped:             "Watch Stopped",
		kvdb.ErrNotFound:                 "Key not found",
		kvdb.ErrExist:                    "Key already exists",
		kvdb.ErrUnmarshal:                "Failed to unmarshal value",
		kvdb.ErrIllegal:                  "Illegal operation",
		kvdb.ErrValueMismatch:            "Value mismatch",
		kvdb.ErrEmptyValue:               "Value cannot be empty",
		kvdb.ErrModified:                 "Key Index mismatch",
		kvdb.ErrSetTTLFailed:             "Unable to set ttl value",
		kvdb.ErrTTLNotSupported:          "TTL value not supported",
		kvdb.ErrInvalidLock:              "Invalid lock/unlock operation",
		kvdb.ErrNoPassword:               "Username provided without any password",
		kvdb.ErrAuthNotSupported:         "Kvdb authentication not supported",
		kvdb.ErrNoCertificate:            "Certificate File Path not provided",
		kvdb.ErrUnknownPermission:        "Unknown Permission Type",
		kvdb.ErrMemberDoesNotExist:       "Kvdb member does not exist",
		kvdb.ErrWatchRevisionCompacted:   "Kvdb watch revision compacted",
		kvdb.ErrLockRefreshFailed:        "Failed to refresh lock",
		kvdb.ErrLockHoldTimeoutTriggered: "Lock held beyond configured timeout",
		kvdb.ErrNoConnection:             "No server connection",
		kvdb.ErrNoQuorum: "KVDB connection failed, either node has networking issues or KVDB members are down " +
			"or KVDB cluster is unhealthy. All operations (get/update/delete) are unavailable.",
	} {
		require.Equal(t, text, err.Error())
	}
}

// Programs store and exchange the values of these.
func TestConstants(t *testing.T) {
	for want, got := range map[any]any{
		"Username": kvdb.UsernameKey, "Password": kvdb.PasswordKey, "CAFile": kvdb.CAFileKey,
		"CertFile": kvdb.CertFileKey, "CertKeyFile": kvdb.CertKeyFileKey,
		"TrustedCAFile": kvdb.TrustedCAFileKey, "ClientCertAuth": kvdb.ClientCertAuthKey,
		"RetryCount": kvdb.RetryCountKey, "ACLToken": kvdb.ACLTokenKey,
		"CAAuthAddress": kvdb.CAAuthAddress, "InsecureSkipVerify": kvdb.InsecureSkipVerify,
		"TransportScheme": kvdb.TransportScheme, "LogPathOption": kvdb.LogPathOption,
		"consulv1": kvdb.ConsulVersion1, "etcd": kvdb.EtcdBaseVersion, "etcdv3": kvdb.EtcdVersion3,
		"memv1": kvdb.MemVersion1, "boltv1": kvdb.BoltVersion1, "zookeeperv1": kvdb.ZookeeperVersion1,
		300 * time.Second: kvdb.DefaultLockTryDuration, "/": kvdb.DefaultSeparator,
		"2380": kvdb.PeerPort, "2379": kvdb.ClientPort,
		kvdb.WrapperName("Wrapper_None"):     kvdb.Wrapper_None,
		kvdb.WrapperName("Wrapper_Log"):      kvdb.Wrapper_Log,
		kvdb.WrapperName("Wrapper_NoQuorum"): kvdb.Wrapper_NoQuorum,
	} {
		require.Equal(t, want, got)
	}
	require.Equal(t, []int{0, 1, 2}, []int{kvdb.ReadPermission, kvdb.WritePermission, kvdb.ReadWritePermission})
	require.Equal(t, []kvdb.KVAction{1, 2, 4, 8, 16, 32}, []kvdb.KVAction{
		kvdb.KVSet, kvdb.KVCreate, kvdb.KVGet, kvdb.KVDelete, kvdb.KVExpire, kvdb.KVUknown})
	require.Equal(t, []kvdb.KVFlags{1, 2, 4, 8}, []kvdb.KVFlags{
		kvdb.KVPrevExists, kvdb.KVCreatedIndex, kvdb.KVModifiedIndex, kvdb.KVTTL})
	require.Equal(t, 1, kvdb.KVCapabilityOrderedUpdates)
}

func TestControllerNotSupported(t *testing.T) {
	var c kvdb.Controller = kvdb.ControllerNotSupported
	_, err := c.AddMember("", "", "")
	require.Equal(t, kvdb.ErrNotSupported, err)
	_, err = c.AddLearner("", "", "")
	require.Equal(t, kvdb.ErrNotSupported, err)
	_, err = c.UpdateMember("", "", "")
	require.Equal(t, kvdb.ErrNotSupported, err)
	_, err = c.ListMembers()
	require.Equal(t, kvdb.ErrNotSupported, err)
	require.Equal(t, kvdb.ErrNotSupported, c.RemoveMember("", ""))
	require.Equal(t, kvdb.ErrNotSupported, c.RemoveMemberByID(1))
	require.Equal(t, kvdb.ErrNotSupported, c.SetEndpoints([]string{"a"}))
	require.Equal(t, kvdb.ErrNotSupported, c.Defragment("", 1))
	require.Empty(t, c.GetEndpoints())
}

func TestLogFatalErrorCB(t *testing.T) {
	logger := logrus.StandardLogger()
	output := logger.Out
	hooks := logger.ReplaceHooks(logrus.LevelHooks{})
	defer func() {
		logger.SetOutput(output)
		logger.ReplaceHooks(hooks)
	}()
	logger.SetOutput(t.Output())
	hook := logtest.NewLocal(logger)

	require.PanicsWithValue(t, "lock x of 3", func() {
		kvdb.LogFatalErrorCB(kvdb.ErrLockRefreshFailed, "lock %s of %d", "x", 3)
	})
	entry := hook.LastEntry()
	require.Equal(t, logrus.ErrorLevel, entry.Level)
	require.Equal(t, "lock x of 3", entry.Message)
	require.Equal(t, kvdb.ErrLockRefreshFailed, entry.Data[logrus.ErrorKey])
}
