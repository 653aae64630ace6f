package etcdv2

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Text is stored as it is, so that other programs can read it. Each value is read as it
// was written.
func TestValues(t *testing.T) {
	for _, text := range []string{"", "text", "ä\x00\n<>&\u2028", "\uFFFD"} {
		require.Equal(t, text, encode([]byte(text)))
		require.Equal(t, text, string(decode(text)))
	}
	for _, binary := range []string{"\xff", "a\x80b", encodedMark, encodedMark + "AA", encode([]byte("\xff"))} {
		require.NotEqual(t, binary, encode([]byte(binary)))
		require.Equal(t, binary, string(decode(encode([]byte(binary)))))
	}
	require.Equal(t, encodedMark+"?", string(decode(encodedMark+"?")), "a value of another program")
}

// The longest TTL is the longest one that the server can express.
func TestLongTTL(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{})
	kv := instance(t, cluster, "ttl", nil, nil)
	_, err := kv.Put("key", "value", uint64(maxTTL/time.Second))
	require.NoError(t, err)
	reply, err := raw(t, cluster).Get(t.Context(), "/ttl/key", nil)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(maxTTL), *reply.Node.Expiration, time.Minute)
	for _, ttl := range []uint64{uint64(maxTTL/time.Second) + 1, uint64(math.MaxInt64 / time.Second)} {
		_, err = kv.Put("key", "value", ttl)
		require.Equal(t, kvdb.ErrTTLNotSupported, err)
	}
}

func TestKeys(t *testing.T) {
	for key, want := range map[string]string{
		"a": "a", "/a//b/": "a/b", "a/_b": "a/_b", "x/" + locksDir: "x/" + locksDir, ".a/..b": ".a/..b",
	} {
		got, err := checkKey(key)
		require.NoError(t, err, key)
		require.Equal(t, want, got)
	}
	for _, key := range []string{"", "/", "//", ".", "a/..", "../a", "a/./b", locksDir, locksDir + "/a"} {
		_, err := checkKey(key)
		require.Error(t, err, key)
	}
	for prefix, want := range map[string]string{"": "", "/": "", "a/": "a/", "/a//b": "a/b", "a//": "a/", "a/.": "a/."} {
		got, err := checkPrefix(prefix)
		require.NoError(t, err, prefix)
		require.Equal(t, want, got)
	}
	require.NotEqual(t, lockPath("a/b"), lockPath("a%2Fb"))
}

// Pairs that are read one by one, in a list or in pages have the rest of their TTL in
// seconds, rounded up.
func TestTTLOfPairs(t *testing.T) {
	cluster := servers.Etcd35(t, servers.Options{})
	kv := instance(t, cluster, "ttl", nil, nil)
	_, err := kv.Put("dir/for ever", "value", 0)
	require.NoError(t, err)
	for key, ttl := range map[string]uint64{"dir/short": 3, "dir/long": 1000} {
		pair, err := kv.Put(key, "value", ttl)
		require.NoError(t, err)
		require.Equal(t, int64(ttl), pair.TTL)
	}
	check := func(pair *kvdb.KVPair) {
		t.Helper()
		switch pair.Key {
		case "dir/for ever":
			require.Zero(t, pair.TTL)
		case "dir/short":
			require.GreaterOrEqual(t, pair.TTL, int64(1))
			require.LessOrEqual(t, pair.TTL, int64(3))
		default:
			require.GreaterOrEqual(t, pair.TTL, int64(900))
			require.LessOrEqual(t, pair.TTL, int64(1000))
		}
	}
	pair, err := kv.Get("dir/long")
	require.NoError(t, err)
	check(pair)
	pairs, err := kv.Enumerate("dir/")
	require.NoError(t, err)
	require.Len(t, pairs, 3)
	for _, pair := range pairs {
		check(pair)
	}
	for pair, err := range kvdb.Pairs(kv, "dir/") {
		require.NoError(t, err)
		check(pair)
	}
	// A pair that can be read has time left.
	eventually(t, "it does not expire", func() bool {
		pair, err := kv.Get("dir/short")
		if err == nil {
			check(pair)
		}
		return errors.Is(err, kvdb.ErrNotFound)
	})
}

// The largest value that the server accepts can be written. A larger one is refused before
// it is sent, because the server would close the connection. Some bytes are sent as three.
func TestLargeValues(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{Members: 3}), &network{}
	kv := instance(t, cluster, "large", nil, n.wrap)
	for name, c := range map[string]struct {
		one     string
		largest int
	}{
		"text":    {"x", maxValue},
		"escaped": {"\n", maxValue / 3},
		"binary":  {"\xff", maxValue/4*3 - 16},
	} {
		value := strings.Repeat(c.one, c.largest)
		_, err := kv.Put("key", value, uint64(maxTTL/time.Second))
		require.NoError(t, err, name)
		pair, err := kv.Get("key")
		require.NoError(t, err, name)
		require.True(t, value == string(pair.Value), name)
		puts := n.count(everything)
		_, err = kv.Put("key", value+strings.Repeat(c.one, 32), 0)
		require.ErrorIs(t, err, kvdb.ErrTooLarge, name)
		require.ErrorContains(t, err, fmt.Sprint(maxValue), name)
		require.Equal(t, puts, n.count(everything), name)
	}
}
