package backup

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
)

// content returns the pairs of a store, hidden ones included. A value ends with ", expires" if
// the pair does.
func content(t testing.TB, kv kvdb.Kvdb) map[string]string {
	t.Helper()
	found := map[string]string{}
	for pair, err := range kvdb.PairsWith(kv, "", kvdb.PageOptions{Hidden: true, TTL: true}) {
		require.NoError(t, err)
		found[pair.Key] = string(pair.Value)
		if pair.TTL > 0 {
			found[pair.Key] += ", expires"
		}
	}
	return found
}

func restoreTo(t testing.TB, kv kvdb.Kvdb, backup []byte, o RestoreOptions) Restored {
	t.Helper()
	restored, err := Restore(t.Context(), kv, bytes.NewReader(backup), o)
	require.NoError(t, err)
	return restored
}

// A backup is the same in each store that it is restored to, whatever keys and values it has.
func TestRoundTrip(t *testing.T) {
	stores := map[string]func(testing.TB) kvdb.Kvdb{"mem": openMem, "bolt": openBolt}
	for from, openFrom := range stores {
		for to, openTo := range stores {
			t.Run(from+" to "+to, func(t *testing.T) {
				source, target := openFrom(t), openTo(t)
				fill(t, source, "dir", 2500)
				put(t, source, "dir", "above", 0)
				put(t, source, "_hidden", "", 0)
				put(t, source, "a/_b/c", "\x00\xff", 0)
				put(t, source, "raw/\xff", "x", 0)
				put(t, source, "expires", "x", 100_000)
				backup, info := backUp(t, source, Options{})
				require.Equal(t, Restored{Pairs: 2505, Created: 2505}, restoreTo(t, target, backup, RestoreOptions{}))
				require.True(t, maps.Equal(content(t, source), content(t, target)))
				_, again := backUp(t, target, Options{})
				require.Equal(t, info.Digest, again.Digest)
				require.Equal(t, Restored{Pairs: 2505, Unchanged: 2505}, restoreTo(t, target, backup, RestoreOptions{}))
				require.Equal(t, again.LastIndex, indexOf(t, target), "nothing was written")
			})
		}
	}
}

func indexOf(t testing.TB, kv kvdb.Kvdb) uint64 {
	_, info := backUp(t, kv, Options{})
	return info.LastIndex
}

func TestRestoreOfNothing(t *testing.T) {
	backup, _ := backUp(t, openMem(t), Options{})
	kv := openMem(t)
	put(t, kv, "a", "x", 0)
	require.Equal(t, Restored{Others: 1}, restoreTo(t, kv, backup, RestoreOptions{}))
	require.Equal(t, Restored{Deleted: 1}, restoreTo(t, kv, backup, RestoreOptions{Prune: true}))
	require.Empty(t, content(t, kv))
}

// The options say what happens to keys that differ, and to those that only one side has.
func TestRestoreOptions(t *testing.T) {
	source := openMem(t)
	for _, key := range []string{"a/missing", "a/same", "a/different", "b/different", "b/_missing"} {
		put(t, source, key, "new", 0)
	}
	put(t, source, "b/expires", "new", 1000)
	backup, _ := backUp(t, source, Options{Prefixes: []string{"a/", "b/"}})
	before := map[string]string{
		"a/same": "new", "a/different": "old", "b/different": "old", "b/expires": "new", "a/more": "old", "c": "old",
	}
	for name, c := range map[string]struct {
		o    RestoreOptions
		want Restored
		news string // the keys that are in the store afterwards and were not, or had another value
		gone string
	}{
		"only missing": {RestoreOptions{OnlyMissing: true}, Restored{Pairs: 6, Created: 2, Unchanged: 1, Kept: 3, Others: 1}, "a/missing b/_missing", ""},
		"overwrite": {RestoreOptions{Overwrite: true}, Restored{Pairs: 6, Created: 2, Unchanged: 1, Overwritten: 3, Others: 1},
			"a/missing b/_missing a/different b/different b/expires", ""},
		"TTL dropped": {RestoreOptions{Overwrite: true, TTL: TTLDrop}, Restored{Pairs: 6, Created: 2, Unchanged: 2, Overwritten: 2, Others: 1},
			"a/missing b/_missing a/different b/different", ""},
		"prune": {RestoreOptions{OnlyMissing: true, Prune: true}, Restored{Pairs: 6, Created: 2, Unchanged: 1, Kept: 3, Deleted: 1},
			"a/missing b/_missing", "a/more"},
		"prefix": {RestoreOptions{Overwrite: true, Prune: true, Prefixes: []string{"", "a"}}, Restored{Pairs: 6, Created: 2, Unchanged: 1, Overwritten: 3, Deleted: 1},
			"a/missing b/_missing a/different b/different b/expires", "a/more"},
		"prefix b": {RestoreOptions{Overwrite: true, Prune: true, Prefixes: []string{"b", "c"}}, Restored{Pairs: 3, Created: 1, Overwritten: 2},
			"b/_missing b/different b/expires", ""},
		"no prefix": {RestoreOptions{Overwrite: true, Prune: true, Prefixes: []string{"c"}}, Restored{}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			kv := openBolt(t)
			for key, value := range before {
				put(t, kv, key, value, 0)
			}
			o := c.o
			o.DryRun = true
			require.Equal(t, c.want, restoreTo(t, kv, backup, o))
			require.Equal(t, before, content(t, kv))
			require.Equal(t, c.want, restoreTo(t, kv, backup, c.o))
			want := map[string]string{}
			for key, value := range before {
				if key != c.gone {
					want[key] = value
				}
			}
			for _, key := range strings.Fields(c.news) {
				want[key] = "new"
				if key == "b/expires" {
					want[key] = "new, expires"
				}
			}
			require.Equal(t, want, content(t, kv))
			again := c.o
			again.DryRun = true
			repeated := restoreTo(t, kv, backup, again)
			require.Zero(t, repeated.Created+repeated.Overwritten+repeated.Deleted)
		})
	}
}

// By default nothing is written if a value differs, and the error names keys.
func TestRestoreOverOtherValues(t *testing.T) {
	source, kv := openMem(t), openMem(t)
	for i := range 8 {
		put(t, source, fmt.Sprint("key", i), "new", 0)
		put(t, kv, fmt.Sprint("key", i), "old", 0)
	}
	put(t, source, "missing", "new", 0)
	before := content(t, kv)
	backup, _ := backUp(t, source, Options{})
	for _, dry := range []bool{false, true} {
		restored, err := Restore(t.Context(), kv, bytes.NewReader(backup), RestoreOptions{DryRun: dry})
		require.ErrorIs(t, err, kvdb.ErrExist)
		require.ErrorContains(t, err, `key "key0"`)
		require.ErrorContains(t, err, "and 3 more")
		require.Equal(t, 8, restored.Overwritten)
		require.Equal(t, before, content(t, kv))
	}
	_, err := Restore(t.Context(), kv, bytes.NewReader(backup), RestoreOptions{OnlyMissing: true, Overwrite: true})
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	_, err = Restore(t.Context(), kv, bytes.NewReader(backup), RestoreOptions{TTL: "other"})
	require.ErrorIs(t, err, kvdb.ErrIllegal)
}

// Pairs get the time that they had left, or that is left now, or all time.
func TestRestoreTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := openMem(t)
		put(t, source, "short", "x", 100)
		put(t, source, "long", "x", 1000)
		put(t, source, "always", "x", 0)
		backup, _ := backUp(t, source, Options{})
		time.Sleep(200 * time.Second)
		for mode, want := range map[TTLMode]map[string]int64{
			"":           {"short": 100, "long": 1000, "always": 0},
			TTLRemaining: {"short": 100, "long": 1000, "always": 0},
			TTLAbsolute:  {"long": 800, "always": 0},
			TTLDrop:      {"short": 0, "long": 0, "always": 0},
		} {
			kv := openMem(t)
			restored := restoreTo(t, kv, backup, RestoreOptions{TTL: mode, Prune: true})
			got := map[string]int64{}
			for pair, err := range kvdb.Pairs(kv, "") {
				require.NoError(t, err)
				got[pair.Key] = pair.TTL
			}
			require.Equal(t, want, got, mode)
			require.Equal(t, Restored{Pairs: 3, Created: len(want), Expired: 3 - len(want)}, restored)
		}
	})
}

type seq = iter.Seq2[*kvdb.KVPair, error]

// limited is a store with limits.
type limited struct {
	kvdb.Kvdb
	limits kvdb.Limits
}

func (l limited) Limits() kvdb.Limits { return l.limits }
func (l limited) BindContext(ctx context.Context) kvdb.Kvdb {
	return limited{kvdb.WithContext(ctx, l.Kvdb), l.limits}
}
func (l limited) EnumeratePagesWith(prefix string, o kvdb.PageOptions) seq {
	return kvdb.PairsWith(l.Kvdb, prefix, o)
}

// Nothing is written if the store cannot hold a pair, unless such pairs are to be skipped. A
// skipped key is not pruned.
func TestIncompatible(t *testing.T) {
	source := openMem(t)
	put(t, source, "a", "fine", 0)
	put(t, source, "a-b", "fine", 0)
	put(t, source, "a/below", "x", 0)
	put(t, source, "a//c", "x", 0)
	put(t, source, "empty", "", 0)
	put(t, source, "expires", "x", 100_000)
	put(t, source, "illegal", "x", 0)
	put(t, source, "large", "123456", 0)
	backup, _ := backUp(t, source, Options{})
	limits := kvdb.Limits{
		MaxValue: 5, NoEmptyValue: true, NoKeyAboveKeys: true, MinTTL: 10 * time.Second, MaxTTL: time.Hour,
		CheckKey: func(key string) (string, error) {
			if key == "illegal" {
				return "", fmt.Errorf("%w: some reason", kvdb.ErrIllegal)
			}
			return strings.ReplaceAll(key, "//", "/"), nil
		},
	}
	kv := limited{openMem(t), limits}
	_, err := Restore(t.Context(), kv, bytes.NewReader(backup), RestoreOptions{})
	require.ErrorIs(t, err, ErrIncompatible)
	for _, text := range []string{
		`the store cannot have the key beside the key "a" above it`, `the store would keep the key as "a/c"`, `key "empty": `,
		`key "expires": TTL value not supported`, `key "illegal": Illegal operation: some reason`, "and 1 more",
	} {
		require.ErrorContains(t, err, text)
	}
	require.Empty(t, content(t, kv.Kvdb))
	put(t, kv.Kvdb, "large", "old", 0)
	restored := restoreTo(t, kv, backup, RestoreOptions{Skip: true, Prune: true})
	require.Equal(t, Restored{Pairs: 8, Created: 2, Skipped: 6}, restored)
	require.Equal(t, map[string]string{"a": "fine", "a-b": "fine", "large": "old"}, content(t, kv.Kvdb))

	kv = limited{openMem(t), kvdb.Limits{NoTTL: true}}
	_, err = Restore(t.Context(), kv, bytes.NewReader(backup), RestoreOptions{})
	require.ErrorIs(t, err, ErrIncompatible)
	require.ErrorContains(t, err, `mode drop restores it without a TTL`)
	require.Equal(t, Restored{Pairs: 8, Created: 8}, restoreTo(t, kv, backup, RestoreOptions{TTL: TTLDrop}))
	kv = limited{openMem(t), kvdb.Limits{MinTTL: 200_000*time.Second - 1}}
	restoreTo(t, kv, backup, RestoreOptions{})
	left, _, err := kvdb.TTLOf(kv.Kvdb, "expires")
	require.NoError(t, err)
	require.Greater(t, left, 150_000*time.Second)
}

// A store that does not list hidden keys is asked for each, so they are compared too.
func TestRestoreOfUnlistedKeys(t *testing.T) {
	source := openMem(t)
	put(t, source, "a/_b", "new", 0)
	put(t, source, "a/_c", "new", 0)
	backup, _ := backUp(t, source, Options{})
	kv := unlisted{openMem(t)}
	put(t, kv.Kvdb, "a/_b", "old", 0)
	require.Equal(t, Restored{Pairs: 2, Created: 1, Kept: 1}, restoreTo(t, kv, backup, RestoreOptions{OnlyMissing: true}))
	require.Equal(t, map[string]string{"a/_b": "old", "a/_c": "new"}, content(t, kv.Kvdb))
}

// unlisted is a store that lists no keys.
type unlisted struct{ kvdb.Kvdb }

func (unlisted) Limits() kvdb.Limits                         { return kvdb.Limits{HiddenUnlisted: true} }
func (u unlisted) BindContext(ctx context.Context) kvdb.Kvdb { return u }
func (unlisted) EnumeratePagesWith(string, kvdb.PageOptions) seq {
	return func(func(*kvdb.KVPair, error) bool) {}
}

// Nothing is written from a backup that is damaged anywhere, or that changes.
func TestRestoreOfDamage(t *testing.T) {
	source, kv := openMem(t), openMem(t)
	fill(t, source, "dir", 2000)
	backup, _ := backUp(t, source, Options{})
	last := bytes.Clone(backup)
	last[len(last)-1] ^= 1
	for _, damaged := range [][]byte{last, backup[:len(backup)-1], backup[:len(backup)/2], nil} {
		_, err := Restore(t.Context(), kv, bytes.NewReader(damaged), RestoreOptions{})
		require.ErrorIs(t, err, ErrCorrupt)
	}
	put(t, source, "dir/001999", "other", 0)
	second, _ := backUp(t, source, Options{})
	for change := 2; change <= 3; change++ { // when it is compared, and when it is written
		_, err := Restore(t.Context(), kv, &swapped{Reader: bytes.NewReader(backup), second: second, at: change}, RestoreOptions{})
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "has changed since")
	}
	require.Empty(t, content(t, kv))
}

// The context ends a restore in each phase.
func TestRestoreIsCanceled(t *testing.T) {
	source := openMem(t)
	fill(t, source, "dir", 5000)
	backup, _ := backUp(t, source, Options{})
	for _, phase := range []Phase{PhaseVerify, PhaseCompare, PhaseWrite} {
		ctx, cancel := context.WithCancel(t.Context())
		kv := openBolt(t)
		_, err := Restore(ctx, kv, bytes.NewReader(backup), RestoreOptions{Progress: func(p Progress) {
			if p.Phase == phase {
				cancel()
			}
		}})
		require.ErrorIs(t, err, context.Canceled, phase)
		cancel()
	}
}

func TestRestoreProgress(t *testing.T) {
	source := openMem(t)
	fill(t, source, "dir", 2500)
	backup, info := backUp(t, source, Options{})
	var phases []Phase
	var last Progress
	restoreTo(t, openMem(t), backup, RestoreOptions{Progress: func(p Progress) {
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		} else {
			require.Greater(t, p.Pairs, last.Pairs)
		}
		last = p
	}})
	require.Equal(t, []Phase{PhaseVerify, PhaseCompare, PhaseWrite, PhaseDone}, phases)
	require.Equal(t, Progress{Phase: PhaseDone, Pairs: 2500, Bytes: info.Bytes, Total: 2500}, last)
}

// restoreUntilKilled restores the backup in its second argument to the bolt file in the first.
// It reports progress, and waits for a line after each report.
func restoreUntilKilled() {
	kv, err := kvdb.New(bolt.Name, "other", nil, map[string]string{bolt.Path: os.Args[1]}, nil)
	must(err)
	file, err := os.Open(os.Args[2])
	must(err)
	_, err = Restore(context.Background(), kv, file, RestoreOptions{Overwrite: true, Progress: func(p Progress) {
		fmt.Println(p.Phase)
		var line string
		_, err := fmt.Scanln(&line)
		must(err)
	}})
	must(err)
	must(kvdb.Close(kv))
}

// A restore that was killed is repeated, and the store is then what the backup says.
func TestKilledRestore(t *testing.T) {
	source := openMem(t)
	fill(t, source, "dir", 30_000)
	path := filepath.Join(t.TempDir(), "backup")
	info, err := Create(t.Context(), path, source, Options{})
	require.NoError(t, err)
	store := filepath.Join(t.TempDir(), "test.db")
	interrupted := false
	for writes := 1; writes <= 24; writes += 4 { // reports of writing until the process is killed
		cmd := exec.Command(os.Args[0], store, path)
		cmd.Env = append(os.Environ(), childEnv+"=restore")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		seen := 0
		for phase := Phase(""); seen < writes && phase != PhaseDone; {
			_, err := fmt.Fscanln(out, &phase)
			require.NoError(t, err)
			if phase == PhaseWrite {
				seen++
			}
			if seen < writes {
				_, err = fmt.Fprintln(in, "continue")
				require.NoError(t, err)
			}
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		kv := openBoltAt(t, store)
		n := len(content(t, kv))
		interrupted = interrupted || n > 0 && n < 30_000
		require.NoError(t, kvdb.Close(kv))
	}
	require.True(t, interrupted, "some process was killed while it wrote")
	kv := openBoltAt(t, store)
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	_, err = Restore(t.Context(), kv, file, RestoreOptions{})
	require.NoError(t, err)
	_, again := backUp(t, kv, Options{})
	require.Equal(t, info.Digest, again.Digest)
}
