package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
)

// newCheck returns the command that finds what is wrong with a store.
func newCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Find out what is wrong with a store, without changing it",
		Long: `Find out what is wrong with a store, without changing it. All keys of the domain
are read: they must be legal, sorted, and have indexes that can be. In a
cluster, each member must be healthy, and one must lead.

Of a bolt file, the whole structure is read, and the pairs of all domains. No
other process may have it open to write.

The exit code is 1 if something is wrong. With -o raw, print the problems only.`,
		Example:           "  kvdb check\n  kvdb check -o json",
		Args:              usage(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := a.choose(a.flags.store, "-s")
			if err != nil {
				return err
			}
			if path := t.Options[bolt.Path]; t.Backend == bolt.Name {
				return a.local(func(_ context.Context, out *output, _ []string) error { return checkFile(out, t, path) })(c, args)
			}
			return a.runs(reads, checkStore)(c, args)
		},
	}
}

// checkFile prints what is wrong with the bolt file of a store.
func checkFile(out *output, t target, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return usagef("%w", err)
	}
	problems, err := bolt.Check(path)
	if err != nil {
		return openError(t, err)
	}
	f := findings{Store: t.String(), Bytes: info.Size(), Problems: []string{}}
	for _, problem := range problems {
		text := problem.Error()
		if _, after, found := strings.Cut(text, filepath.Base(path)+": "); found { // the store is shown
			text = after
		}
		f.add("%s", text)
	}
	return errors.Join(out.findings(&f), f.err())
}

// checkStore prints what is wrong with a store.
func checkStore(_ context.Context, s *session, _ []string) error {
	f := findings{Store: s.target.String(), Problems: []string{}}
	if err := s.checkMembers(&f); err != nil {
		return err
	}
	if err := s.checkPairs(&f); err != nil {
		return errors.Join(err, s.out.findings(&f))
	}
	return errors.Join(s.out.findings(&f), f.err())
}

// findings are what check has found.
type findings struct {
	Store string `json:"store"`
	// Keys is the number of keys, nil in a file. Bytes are theirs with the values, or the
	// size of the file.
	Keys     *int64   `json:"keys,omitempty"`
	Bytes    int64    `json:"bytes"`
	Problems []string `json:"problems"`
	// Unlisted is the number of problems beyond maxProblems.
	Unlisted int `json:"unlisted,omitempty"`
}

// maxProblems bounds the problems in memory.
const maxProblems = 1000

func (f *findings) add(format string, args ...any) {
	if len(f.Problems) == maxProblems {
		f.Unlisted++
		return
	}
	f.Problems = append(f.Problems, fmt.Sprintf(format, args...))
}

// checkMembers adds what is wrong with the members.
func (s *session) checkMembers(f *findings) error {
	members, err := s.members()
	if errors.Is(err, kvdb.ErrNotSupported) {
		return nil
	}
	leaders := 0
	for _, m := range members {
		if !m.Started || !m.Healthy {
			f.add("member %s is %s", m, m.state())
		}
		if m.Leader {
			leaders++
		}
	}
	if err == nil && leaders != 1 {
		f.add("%d members say that they lead", leaders)
	}
	return err
}

// checkPairs reads all pairs and adds what is wrong with them.
func (s *session) checkPairs(f *findings) error {
	p := s.newProgress()
	defer p.end()
	p.update(func(w *work) { w.Phase = "checking" })
	var previous *kvdb.KVPair
	f.Keys = new(int64)
	for pair, err := range s.pairs("", false) {
		if err != nil {
			return err
		}
		if problem := s.problem(previous, pair); problem != "" {
			f.add("key %q %s", pair.Key, problem)
		}
		*f.Keys++
		f.Bytes += int64(len(pair.Key) + len(pair.Value))
		p.update(func(w *work) { w.Keys, w.Bytes = *f.Keys, f.Bytes })
		previous = pair
	}
	return nil
}

// problem says what is wrong with a pair that follows the previous one, which may be nil. It
// returns "" if nothing is.
func (s *session) problem(previous, pair *kvdb.KVPair) string {
	switch {
	case previous != nil && pair.Key <= previous.Key:
		return fmt.Sprintf("comes after %q: the keys are not sorted", previous.Key)
	case pair.CreatedIndex == 0 || pair.CreatedIndex > pair.ModifiedIndex:
		return fmt.Sprintf("was created at index %d and modified at %d", pair.CreatedIndex, pair.ModifiedIndex)
	case pair.ModifiedIndex > pair.KVDBIndex:
		return fmt.Sprintf("was modified at index %d, but the store is at %d", pair.ModifiedIndex, pair.KVDBIndex)
	case pair.TTL < 0:
		return fmt.Sprintf("has a TTL of %d s", pair.TTL)
	}
	if s.limits.CheckKey == nil {
		return ""
	}
	switch key, err := s.limits.CheckKey(pair.Key); {
	case err != nil:
		return "is illegal: " + err.Error()
	case key != pair.Key:
		return fmt.Sprintf("cannot be read, because it stands for %q", key)
	}
	return ""
}

// err returns an error if there are problems.
func (f *findings) err() error {
	if n := len(f.Problems) + f.Unlisted; n > 0 {
		return wrap(errDifference, "%s in %s", countOf(n, "problem", "problems"), f.Store)
	}
	return nil
}

// findings prints what was found.
func (o *output) findings(f *findings) error {
	if o.format != formatTable {
		var raw strings.Builder
		for _, problem := range f.Problems {
			raw.WriteString(problem + "\n")
		}
		return o.one(nil, row{value: f, raw: []byte(raw.String())})
	}
	list := [][]string{{"store", f.Store}}
	if f.Keys != nil {
		list = append(list, []string{"keys", number(uint64(*f.Keys))})
	}
	list = append(list, []string{"size", byteSize(f.Bytes)})
	if len(f.Problems) == 0 {
		list = append(list, []string{"problems", "none"})
	}
	for _, problem := range f.Problems {
		list = append(list, []string{"problem", problem})
	}
	if f.Unlisted > 0 {
		list = append(list, []string{"problem", fmt.Sprintf("%d more", f.Unlisted)})
	}
	return o.properties(list)
}
