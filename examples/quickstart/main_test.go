package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tourOf runs the tour with a temporary folder of its own, which it returns.
func tourOf(t *testing.T, ctx context.Context, args ...string) (output, temporary string, err error) {
	temporary = t.TempDir()
	t.Setenv("TMPDIR", temporary)
	var w strings.Builder
	err = run(ctx, &w, args)
	return w.String(), temporary, err
}

func requireEmpty(t *testing.T, dir string) {
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestTour(t *testing.T) {
	for _, args := range [][]string{nil, {"-backend", mem.Name}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			output, temporary, err := tourOf(t, t.Context(), args...)
			require.NoError(t, err, output)
			require.Contains(t, output, "All as expected")
			requireEmpty(t, temporary)
		})
	}
}

func TestTourOnEtcd(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	output, _, err := tourOf(t, t.Context(), "-backend", etcdv3.Name, "-endpoints", strings.Join(cluster.Endpoints(), ","))
	require.NoError(t, err, output)
	require.Contains(t, output, "All as expected")
}

// The tour reports that a store has no transactions over several keys, and continues.
func TestTourOnEtcdV2(t *testing.T) {
	cluster := servers.Etcd35(t, servers.Options{})
	output, _, err := tourOf(t, t.Context(), "-backend", etcdv2.Name, "-endpoints", strings.Join(cluster.Endpoints(), ","))
	require.NoError(t, err, output)
	require.Contains(t, output, "no transactions over several keys")
	require.Contains(t, output, "All as expected")
}

func TestTourKeepsExistingKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.db")
	open := func(domain string) kvdb.Kvdb {
		kv, err := kvdb.New(bolt.Name, domain, nil, map[string]string{bolt.Path: file}, nil)
		require.NoError(t, err)
		return kv
	}
	kv := open("app")
	_, err := kv.Put("precious", "1", 0)
	require.NoError(t, err)
	require.NoError(t, kvdb.Close(kv))

	_, _, err = tourOf(t, t.Context(), "-option", bolt.Path+"="+file, "-domain", "app")
	require.NoError(t, err)

	kv = open("")
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Len(t, pairs, 1)
	require.Equal(t, "app/precious", pairs[0].Key)
}

func TestInterruptedTourFailsAndCleansUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, temporary, err := tourOf(t, ctx)
	require.ErrorIs(t, err, context.Canceled)
	requireEmpty(t, temporary)
}

func TestBadCommandLine(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		text string
	}{
		"unknown backend": {[]string{"-backend", "nosuch"}, "nosuch"},
		"no such flag":    {[]string{"-nosuch"}, "nosuch"},
		"option":          {[]string{"-option", "novalue"}, "key=value"},
		"argument":        {[]string{"extra"}, "extra"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, run(t.Context(), io.Discard, test.args), test.text)
		})
	}
}
