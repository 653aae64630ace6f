package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// newMember returns the command that manages the members of a cluster.
func newMember(a *app) *cobra.Command {
	return parent("member", "Manage the members of a cluster", `Manage the members of a cluster: of etcd and ZooKeeper; of Consul, whose servers
join by themselves, "ls" and "rm" only.`, a.newMemberLs(),
		a.joins("add", "Add a member", `Add a member, before it starts, at the address for its peers. It counts for the
quorum at once: after the second of two, nothing works until the new one runs.
`+joinsLong, kvdb.Kvdb.AddMember),
		a.joins("learner", "Add a member that does not vote", `Add a member that does not vote, before it starts, at the address for its peers.
It is a learner of etcd, which "etcdctl member promote" makes a full member, or
an observer of ZooKeeper.
`+joinsLong, kvdb.Kvdb.AddLearner),
		a.joins("update", "Change the address of a member", `Change the address at which the other members reach a member.
`+joinsLong, kvdb.Kvdb.UpdateMember),
		a.newMemberRm())
}

func (a *app) newMemberLs() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the members and their state",
		Long: `List the members and their state. An unhealthy member does not answer, or has no
quorum. With -o raw, print the IDs.`,
		Args:              usage(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.runs(reads, func(_ context.Context, s *session, _ []string) error {
			members, err := s.members()
			if err != nil {
				return s.advised(err, managingMembers)
			}
			return s.out.list(memberColumns, memberRows(members))
		}),
	}
}

const joinsLong = `
The peers of all members are printed; with -o raw, as etcd wants them after
--initial-cluster. In ZooKeeper, NAME is server. and a number, and the port for
elections is 1000 higher than that of a new member's address.`

// joining calls AddMember, AddLearner or UpdateMember.
type joining func(kv kvdb.Kvdb, host, port, name string) (map[string][]string, error)

// joins returns a command that gives a member an address.
func (a *app) joins(use, short, long string, join joining) *cobra.Command {
	const form = "NAME HOST:PORT"
	return &cobra.Command{
		Use: use + " " + form, Short: short, Long: long,
		Example:           "  kvdb member " + use + " m3 10.0.0.3:2380",
		Args:              usage(2, 2, form),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.runs(changes, func(_ context.Context, s *session, args []string) error {
			host, port, err := net.SplitHostPort(args[1])
			if number, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || host == "" || number == 0 {
				return usagef("the address %q must be HOST:PORT, such as 10.0.0.3:2380 or [::1]:2380", args[1])
			}
			peers, err := join(s.kv, host, port, args[0])
			if err != nil {
				return s.memberError(args[0], err)
			}
			return s.out.list(peerColumns, peerRows(peers))
		}),
	}
}

var peerColumns = []column{{title: "NAME", flexible: true}, {title: "PEERS", flexible: true}}

// peerRows returns the peer URLs by name. Their raw form is name=URL,name=URL.
func peerRows(peers map[string][]string) func(yield func(row, error) bool) {
	return func(yield func(row, error) bool) {
		names := slices.Sorted(maps.Keys(peers))
		for i, name := range names {
			var raw strings.Builder
			for j, url := range peers[name] {
				if i+j > 0 {
					raw.WriteByte(',')
				}
				raw.WriteString(name + "=" + url)
			}
			if i == len(names)-1 {
				raw.WriteByte('\n')
			}
			value := struct {
				Name  string   `json:"name"`
				Peers []string `json:"peer_urls"`
			}{name, nonNil(peers[name])}
			if !yield(row{[]string{name, strings.Join(peers[name], ",")}, value, []byte(raw.String())}, nil) {
				return
			}
		}
	}
}

func (a *app) newMemberRm() *cobra.Command {
	const form = "NAME|ID"
	c := &cobra.Command{
		Use:   "rm " + form,
		Short: "Remove a member",
		Long: `Remove a member from the cluster. What it stores is not deleted. A server of
Consul that still runs joins again.`,
		Example:           "  kvdb member rm m3",
		Args:              usage(1, 1, form),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := confirms(c)
	c.RunE = a.runs(changes, func(ctx context.Context, s *session, args []string) error {
		members, err := s.members()
		if err != nil {
			return s.memberError(args[0], err)
		}
		m, err := find(members, args[0])
		if err != nil {
			return err
		}
		if goOn, err := s.confirm(ctx, f, &change{what: fmt.Sprintf("remove member %s (%s)", m, m.state())}); !goOn {
			return err
		}
		return s.memberError(args[0], s.kv.RemoveMemberByID(m.number))
	})
	return c
}

// find returns the member with that ID or name.
func find(members []member, wanted string) (member, error) {
	var found []member
	for _, m := range members {
		if m.ID == wanted {
			return m, nil
		}
		if m.Name == wanted && wanted != "" {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return member{}, fmt.Errorf("member %q: %w", wanted, kvdb.ErrMemberDoesNotExist)
	case 1:
		return found[0], nil
	}
	return member{}, usagef("%d members have the name %q: use the ID of one", len(found), wanted)
}

// memberError adds the name of the member to an error, and what to do.
func (s *session) memberError(name string, err error) error {
	if err == nil || errors.Is(err, kvdb.ErrNotSupported) {
		return s.advised(err, managingMembers, addingMembers)
	}
	err = fmt.Errorf("member %q: %w", name, err)
	switch {
	case errors.Is(err, kvdb.ErrUnknownOutcome):
		return advise(err, `"kvdb member ls" shows whether it happened`)
	case errors.Is(err, kvdb.ErrExist):
		return advise(err, `"kvdb member ls" lists the members`)
	}
	return err
}

// member is a member of a cluster, as JSON.
type member struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Leader  bool     `json:"leader"`
	Learner bool     `json:"learner"`
	Started bool     `json:"started"`
	Healthy bool     `json:"healthy"`
	Size    int64    `json:"db_size,omitempty"`
	Clients []string `json:"client_urls"`
	Peers   []string `json:"peer_urls"`
	// number is what the library calls the member.
	number uint64
}

// members returns the members of the cluster, sorted by name and ID.
func (s *session) members() ([]member, error) {
	infos, err := s.kv.ListMembers()
	list := []member{}
	for number, info := range infos {
		list = append(list, member{
			ID: info.ID, Name: info.Name, Leader: info.Leader, Learner: info.IsLearner, Started: info.HasStarted,
			Healthy: info.IsHealthy, Size: info.DbSize, Clients: nonNil(info.ClientUrls), Peers: nonNil(info.PeerUrls), number: number,
		})
	}
	slices.SortFunc(list, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return list, err
}

// nonNil returns the list so that JSON has it as a list.
func nonNil(list []string) []string { return append([]string{}, list...) }

// memberColumns are the columns of members.
var memberColumns = []column{
	{title: "NAME", flexible: true}, {title: "STATE"}, {title: "CLIENTS", flexible: true}, {title: "PEERS", flexible: true},
	{title: "ID", flexible: true},
}

// memberRows returns members for memberColumns. Their raw form is the ID.
func memberRows(members []member) func(yield func(row, error) bool) {
	return func(yield func(row, error) bool) {
		for _, m := range members {
			cells := []string{cmp.Or(m.Name, "-"), m.state(), addresses(m.Clients), addresses(m.Peers), m.ID}
			if !yield(row{cells, m, []byte(m.ID + "\n")}, nil) {
				return
			}
		}
	}
}

// String returns the name and ID of the member.
func (m member) String() string { return strings.TrimSpace(m.Name + " " + m.ID) }

// state returns the state of the member in a word or two.
func (m member) state() string {
	switch {
	case !m.Started:
		return "not started"
	case !m.Healthy:
		return "unhealthy"
	case m.Leader:
		return "leader"
	case m.Learner:
		return "learner"
	}
	return "healthy"
}

// summary returns the state, the size of the database and the addresses of the member.
func (m member) summary() string {
	parts := []string{m.state()}
	if m.Size > 0 {
		parts = append(parts, byteSize(m.Size))
	}
	return cmp.Or(m.Name, m.ID) + ": " + strings.Join(append(parts, hostsOf(m.Clients)...), ", ")
}

// addresses returns the hosts of URLs in one text.
func addresses(urls []string) string { return cmp.Or(strings.Join(hostsOf(urls), ","), "-") }

// hostsOf returns URLs without their scheme.
func hostsOf(urls []string) []string {
	hosts := make([]string, len(urls))
	for i, url := range urls {
		hosts[i] = url[strings.LastIndexByte(url, '/')+1:]
	}
	return hosts
}
