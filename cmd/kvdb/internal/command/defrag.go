package command

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
)

// newDefrag returns the command that makes database files smaller.
func newDefrag(a *app) *cobra.Command {
	const form = "[ENDPOINT...]"
	var cluster bool
	c := &cobra.Command{
		Use:   "defrag " + form,
		Short: "Free the space of deleted keys in database files",
		Long: `Free the space that deleted keys and removed history have left in the database
file: of a bolt file, or of the members of etcd v3 at the endpoints, one after
the other. Without arguments, the endpoints are those of the store's URL.

A member of etcd does not answer meanwhile. It has a minute, or else --timeout.
Writes to a bolt file wait; the folder of the file needs space for a second one.`,
		Example: `  kvdb -s bolt:demo.db defrag
  kvdb -s etcd://127.0.0.1:2379 defrag --cluster --timeout 5m`,
		Args:              usage(0, -1, form),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().BoolVar(&cluster, "cluster", false, "all members of the cluster, the leader last")
	c.RunE = a.runs(changes, func(_ context.Context, s *session, endpoints []string) error {
		switch {
		case cluster && len(endpoints) > 0:
			return usagef("use --cluster or endpoints, not both")
		case cluster:
			members, err := s.members()
			if err != nil {
				return s.advised(err, defragmenting, managingMembers)
			}
			if endpoints, err = clientURLs(members); err != nil {
				return err
			}
		case len(endpoints) == 0:
			endpoints = s.kv.GetEndpoints()
		}
		if len(endpoints) == 0 {
			endpoints = []string{""} // the store on this machine
		}
		return s.out.list(defragColumns, eachRow(endpoints, s.defragment))
	})
	return c
}

// clientURLs returns a client URL of each member, that of the leader last. It is an error if a
// member does not serve.
func clientURLs(members []member) (list []string, err error) {
	leader := ""
	for _, m := range members {
		switch {
		case len(m.Clients) == 0:
			return nil, advise(wrap(kvdb.ErrNoConnection, "member %s is %s", m, m.state()), "start it, or remove it first")
		case m.Leader:
			leader = m.Clients[0]
		default:
			list = append(list, m.Clients[0])
		}
	}
	if leader != "" {
		list = append(list, leader)
	}
	return list, nil
}

// defragColumns are the columns of what defrag has done.
var defragColumns = []column{
	{title: "ENDPOINT", flexible: true}, {title: "BEFORE", right: true}, {title: "AFTER", right: true}, {title: "TIME", right: true},
}

// defragment frees space in the file of an endpoint.
func (s *session) defragment(endpoint string) (row, error) {
	before, began := s.databaseSize(endpoint), time.Now()
	limit := wholeSeconds(s.flags.timeout)
	if err := s.kv.Defragment(endpoint, int(limit)); err != nil {
		return row{}, s.advised(err, defragmenting)
	}
	took, after := time.Since(began).Seconds(), s.databaseSize(endpoint)
	return row{
		[]string{endpoint, sizeIfKnown(before), sizeIfKnown(after), roundTime(took)},
		struct {
			Endpoint string  `json:"endpoint"`
			Before   int64   `json:"size_before,omitempty"`
			After    int64   `json:"size_after,omitempty"`
			Seconds  float64 `json:"seconds"`
		}{endpoint, before, after, took},
		[]byte(endpoint + "\n"),
	}, nil
}

// sizeIfKnown returns a size for people. 0 means that it is not known.
func sizeIfKnown(n int64) string {
	if n == 0 {
		return "-"
	}
	return byteSize(n)
}

// databaseSize returns the size of the database file of an endpoint, or 0 if it is not known.
func (s *session) databaseSize(endpoint string) int64 {
	if s.target.Backend == bolt.Name {
		if info, err := os.Stat(endpoint); err == nil {
			return info.Size()
		}
		return 0
	}
	members, _ := s.members() // without them, no size is known
	for _, m := range members {
		if slices.Contains(m.Clients, endpoint) {
			return m.Size
		}
	}
	return 0
}
