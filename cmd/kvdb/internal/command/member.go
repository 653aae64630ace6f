package command

import (
	"cmp"
	"slices"
	"strings"
)

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
	{title: "NAME", flexible: true}, {title: "ID"}, {title: "STATE"}, {title: "SIZE", right: true},
	{title: "CLIENTS", flexible: true}, {title: "PEERS", flexible: true},
}

// memberRows returns members for memberColumns. Their raw form is the ID.
func memberRows(members []member) func(yield func(row, error) bool) {
	return func(yield func(row, error) bool) {
		for _, m := range members {
			cells := []string{cmp.Or(m.Name, "-"), m.ID, m.state(), sizeIfKnown(m.Size), urls(m.Clients), urls(m.Peers)}
			if !yield(row{cells, m, []byte(m.ID + "\n")}, nil) {
				return
			}
		}
	}
}

// sizeIfKnown returns a size for people. 0 means that it is not known.
func sizeIfKnown(n int64) string {
	if n == 0 {
		return "-"
	}
	return byteSize(n)
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

// urls returns URLs for people, without the scheme of plain ones.
func urls(list []string) string {
	if len(list) == 0 {
		return "-"
	}
	short := make([]string, len(list))
	for i, url := range list {
		short[i] = strings.TrimPrefix(url, "http://")
	}
	return strings.Join(short, ",")
}
