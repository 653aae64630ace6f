package etcdv3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Snapshot implements driver.Snapshotter.
func (s *store) Snapshot(ctx context.Context, prefixes []string, consistent bool) (kvdb.KVPairs, uint64, error) {
	for try := 0; ; try++ {
		at, isOwn := uint64(0), consistent
		if consistent {
			var err error
			at, err = s.ownRevision(ctx, prefixes[0])
			switch {
			case errors.Is(err, kvdb.ErrPermission), errors.Is(err, rpctypes.ErrNoSpace):
				isOwn = false // The marker cannot be written, so use the state's revision.
			case err != nil:
				return nil, 0, err
			}
		}
		copied, latest, at, err := s.copyAt(ctx, prefixes, at, consistent, try)
		switch {
		case errors.Is(err, kvdb.ErrWatchRevisionCompacted): // Compacted meanwhile: try again.
		case err != nil:
			return nil, 0, err
		case isOwn && latest == at: // Another client removed the marker, and the revision is that of a write.
		default:
			return copied, at, nil
		}
	}
}

// copyAt returns the pairs below prefixes at a revision, with their TTLs, and the largest
// revision among them. At 0 it reads the current pairs; if consistent, it reads all prefixes
// at the revision of the first read, and returns that revision as now.
func (s *store) copyAt(ctx context.Context, prefixes []string, at uint64, consistent bool, try int) (copied kvdb.KVPairs, latest, now uint64, err error) {
	expiring := leased{}
	for _, prefix := range prefixes {
		err := s.scan(ctx, prefix, driver.ListOptions{At: at}, try, func(kvs []*mvccpb.KeyValue, revision int64, _ bool) bool {
			if consistent {
				at = uint64(revision)
			}
			for _, kv := range kvs {
				latest = max(latest, uint64(kv.ModRevision))
			}
			before := len(copied)
			copied = appendPairs(copied, kvs, revision)
			expiring.add(copied[before:], kvs)
			return true
		})
		if err != nil {
			return nil, 0, 0, err
		}
	}
	return copied, latest, at, s.setTTLs(ctx, expiring)
}

// ownRevision returns a revision at which only a marker was removed, so every pair
// is older, and a watch from it misses nothing.
//
// The marker is below prefix, where the user most likely may write. It has a lease
// of its own, so it is removed even when this process dies, or when the request that
// writes it arrives late.
func (s *store) ownRevision(ctx context.Context, prefix string) (uint64, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout)
	defer cancel()
	for {
		revision, err := s.writeMarker(ctx, prefix+markerSign+rand.Text())
		if err == nil || ctx.Err() != nil || !errors.Is(err, kvdb.ErrUnknownOutcome) && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return uint64(revision), err
		}
	}
}

func (s *store) writeMarker(ctx context.Context, key string) (int64, error) {
	lease, err := s.grant(ctx, minTTL, forHeld)
	if err != nil {
		return 0, err
	}
	marker := &pb.PutRequest{Key: []byte(key), Lease: lease}
	_, err = write(ctx, s, func(ctx context.Context) (*pb.PutResponse, error) { return s.kv.Put(ctx, marker, s.callOpts...) })
	if err != nil {
		s.discard(ctx, lease)
		return 0, err
	}
	reply, err := s.revoke(ctx, lease)
	if err != nil {
		return 0, err // An earlier try may have revoked it, at an unknown revision.
	}
	return reply.Header.Revision, nil
}

// markerSign is part of the keys of markers and of no other key.
const markerSign = "\x00kvdb-snapshot-"

func isMarker(key []byte) bool { return bytes.Contains(key, []byte(markerSign)) }
