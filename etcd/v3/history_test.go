package etcdv3

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// A reply shows that the store went back when it is from another cluster, or older
// than what was known when the request was sent. This is reported once.
func TestHistory(t *testing.T) {
	const cluster, revision = 7, 100
	for name, c := range map[string]struct {
		header  *pb.ResponseHeader
		current bool
		back    bool
	}{
		"later":               {&pb.ResponseHeader{ClusterId: cluster, Revision: revision + 1}, true, false},
		"the same":            {&pb.ResponseHeader{ClusterId: cluster, Revision: revision}, true, false},
		"earlier":             {&pb.ResponseHeader{ClusterId: cluster, Revision: revision - 1}, true, true},
		"earlier, and may be": {&pb.ResponseHeader{ClusterId: cluster, Revision: revision - 1}, false, false},
		"another cluster":     {&pb.ResponseHeader{ClusterId: cluster + 1, Revision: revision + 1}, false, true},
		"a proxy's":           {&pb.ResponseHeader{Revision: revision - 1}, true, false},
		"none":                {nil, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			backs := 0
			h := &history{onWentBack: func() { backs++ }}
			h.learn(h.now(), &pb.ResponseHeader{ClusterId: cluster, Revision: revision}, true, seen{})
			before := h.now()
			require.EqualValues(t, revision, before.revision)
			for range 2 { // two requests were sent at the same time
				h.learn(before, c.header, c.current, seen{})
			}
			if !c.back {
				require.Zero(t, backs)
				require.Zero(t, h.now().generation)
				require.GreaterOrEqual(t, h.now().revision, int64(revision))
				return
			}
			require.Equal(t, 1, backs)
			require.Equal(t, 1, h.now().generation)
			require.Equal(t, c.header.Revision, h.now().revision)
		})
	}
}
