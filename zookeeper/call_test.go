package zookeeper

import (
	"errors"
	"io"
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// The error of a request shows whether the request has run.
func TestFateOf(t *testing.T) {
	for want, errs := range map[call.Fate][]error{
		call.Refused: {
			nil, zk.ErrNoNode, zk.ErrBadVersion, zk.ErrNodeExists, zk.ErrNotEmpty, zk.ErrNoChildrenForEphemerals, zk.ErrNoAuth,
			zk.ErrInvalidACL, zk.ErrAuthFailed, zk.ErrReconfigDisabled, zk.ErrBadArguments, zk.ErrInvalidPath, zk.ErrShortBuffer,
			errors.New("unknown error: -6"), errors.New("unknown error: -13"), errors.New("unknown error: -14"), errors.New("unknown error: -125"),
		},
		call.NotRun:  {zk.ErrNoServer, zk.ErrSessionExpired, zk.ErrSessionMoved},
		call.Perhaps: {zk.ErrConnectionClosed, zk.ErrClosing, zk.ErrAPIError, conn.ErrAbandoned, lost(zk.ErrConnectionClosed), io.EOF, errors.New("unknown error: -1")},
	} {
		for _, err := range errs {
			require.Equal(t, want, fateOf(err), "%v", err)
		}
	}
}
