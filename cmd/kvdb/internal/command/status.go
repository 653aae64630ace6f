package command

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// newStatus returns the command that shows whether a store works, and what it can do.
func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show whether the store works, its members and its limits",
		Long: `Show whether the store works: how long a read takes that needs a majority of its
servers, which members it has, and what it can hold. The exit code is 3 if it
cannot be reached or has no quorum, and 7 if the user may not read. With -o raw,
print yes if the store is reachable, or no.`,
		Example: `  kvdb status
  kvdb status --timeout 2s -o json`,
		Args:              usage(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.runs(reads, func(ctx context.Context, s *session, _ []string) error {
			status := s.status(ctx)
			return errors.Join(status.err, s.showStatus(status))
		}),
	}
}

// status is the state of a store, as JSON.
type status struct {
	Store     string  `json:"store"`
	Backend   string  `json:"backend"`
	Version   string  `json:"version,omitempty"`
	Reachable bool    `json:"reachable"`
	Ping      float64 `json:"ping_seconds,omitempty"`
	// Error is that of the read.
	Error     string   `json:"error,omitempty"`
	Endpoints []string `json:"endpoints"`
	Members   []member `json:"members"`
	// MembersError says why the members are not known.
	MembersError string       `json:"members_error,omitempty"`
	Capabilities capabilities `json:"capabilities"`
	Limits       limits       `json:"limits"`

	err error
}

// capabilities are what a store can do.
type capabilities struct {
	OrderedUpdates bool `json:"ordered_updates"`
	TTL            bool `json:"ttl"`
	EmptyValues    bool `json:"empty_values"`
	KeyAboveKeys   bool `json:"key_above_keys"`
	Transactions   bool `json:"transactions"`
	Members        bool `json:"members"`
}

// limits are [kvdb.Limits]. What is missing has no limit that is known.
type limits struct {
	MaxKey         int   `json:"max_key,omitempty"`
	MaxValue       int   `json:"max_value,omitempty"`
	MaxTxOps       int   `json:"max_tx_ops,omitempty"`
	MaxTxBytes     int   `json:"max_tx_bytes,omitempty"`
	ServerDefaults bool  `json:"server_defaults"`
	MinTTL         int64 `json:"min_ttl,omitempty"`
	MaxTTL         int64 `json:"max_ttl,omitempty"`
}

// status asks the store for its state.
func (s *session) status(ctx context.Context) status {
	l := s.limits
	state := status{
		Store: s.target.String(), Backend: s.kv.String(), Endpoints: s.kv.GetEndpoints(),
		Limits: limits{l.MaxKey, l.MaxValue, l.MaxTxOps, l.MaxTxBytes, l.ServerDefaults, wholeSeconds(l.MinTTL), wholeSeconds(l.MaxTTL)},
	}
	var err error
	var asking sync.WaitGroup
	asking.Go(func() { state.Members, err = s.members() })
	began := time.Now()
	state.err = kvdb.Ping(ctx, s.kv)
	took := time.Since(began)
	code, message := exitOf(ctx, state.err)
	state.Error = message
	if state.Reachable = code != exitConnection; state.Reachable {
		state.Ping = took.Seconds()
		state.Version = s.version(ctx, state.Endpoints)
	}
	asking.Wait()
	if err != nil && !errors.Is(err, kvdb.ErrNotSupported) {
		state.MembersError = err.Error()
	}
	state.Capabilities = capabilities{
		OrderedUpdates: s.kv.Capabilities()&kvdb.KVCapabilityOrderedUpdates != 0,
		TTL:            !l.NoTTL,
		EmptyValues:    !l.NoEmptyValue,
		KeyAboveKeys:   !l.NoKeyAboveKeys,
		Transactions:   l.MaxTxOps != 1,
		Members:        !errors.Is(err, kvdb.ErrNotSupported),
	}
	return state
}

// version returns the version that the first endpoint which answers has, or "". It does not
// wait for the others.
func (s *session) version(ctx context.Context, endpoints []string) string {
	if len(endpoints) == 0 {
		endpoints = []string{""}
	}
	versions := make(chan string, len(endpoints))
	for _, endpoint := range endpoints {
		go func() {
			version, _ := kvdb.Version(s.target.Backend, endpoint, s.options) // after an error it is ""
			versions <- version
		}()
	}
	for range endpoints {
		select {
		case version := <-versions:
			if version != "" {
				return version
			}
		case <-ctx.Done():
			return ""
		}
	}
	return ""
}

// propertyColumns are the columns of properties.
var propertyColumns = []column{{title: "PROPERTY"}, {title: "VALUE", flexible: true}}

// showStatus prints the state.
func (s *session) showStatus(state status) error {
	if s.out.format != formatTable {
		return s.out.one(nil, row{value: state, raw: []byte(state.reachable() + "\n")})
	}
	return s.out.properties(state.properties())
}

// properties prints names and values as a table.
func (o *output) properties(list [][]string) error {
	return o.list(propertyColumns, eachRow(list, func(property []string) (row, error) {
		return row{cells: property}, nil
	}))
}

func (s *status) reachable() string {
	if s.Reachable {
		return "yes"
	}
	return "no"
}

// properties returns the names and values of the table.
func (s *status) properties() [][]string {
	list := [][]string{{"store", s.Store}, {"backend", s.Backend}, {"version", cmp.Or(s.Version, "-")}, {"reachable", s.reachable()}}
	if s.Reachable {
		list = append(list, []string{"ping", roundTime(s.Ping)})
	}
	if s.Error != "" {
		list = append(list, []string{"error", s.Error})
	}
	for _, endpoint := range s.Endpoints {
		list = append(list, []string{"endpoint", endpoint})
	}
	for _, m := range s.Members {
		list = append(list, []string{"member", m.summary()})
	}
	if s.MembersError != "" {
		list = append(list, []string{"members", "not known: " + s.MembersError})
	}
	l, yes := s.Limits, map[bool]string{true: "yes", false: "no"}
	size := func(n int) string {
		switch {
		case n == 0:
			return "-"
		case l.ServerDefaults:
			return byteSize(int64(n)) + ", unless the server is configured otherwise"
		}
		return byteSize(int64(n))
	}
	keys := "-"
	if l.MaxTxOps > 0 {
		keys = strconv.Itoa(l.MaxTxOps)
	}
	return append(list, [][]string{
		{"every change is watched", yes[s.Capabilities.OrderedUpdates]},
		{"a and a/b both exist", yes[s.Capabilities.KeyAboveKeys]},
		{"empty values", yes[s.Capabilities.EmptyValues]},
		{"TTL", s.ttls()},
		{"largest key", size(l.MaxKey)},
		{"largest value", size(l.MaxValue)},
		{"keys in a transaction", keys},
		{"bytes in a transaction", size(l.MaxTxBytes)},
	}...)
}

// ttls says which TTLs the store takes.
func (s *status) ttls() string {
	l := s.Limits
	longest := strings.TrimSuffix(seconds(l.MaxTTL), "0m0s")
	switch {
	case !s.Capabilities.TTL:
		return "no"
	case l.MaxTTL == 0:
		return "from " + seconds(max(l.MinTTL, 1))
	default:
		return "from " + seconds(max(l.MinTTL, 1)) + " to " + longest
	}
}

// roundTime returns a time in seconds with three digits.
func roundTime(s float64) string {
	d := time.Duration(s * float64(time.Second))
	unit := time.Nanosecond
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
