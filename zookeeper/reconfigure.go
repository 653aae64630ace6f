package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// change is a change of the members: lines of members to add or to replace, and numbers of
// members to remove.
type change struct{ joining, leaving []string }

// isIn reports whether the change is in force with those members.
func (c change) isIn(members []member) bool {
	lines := map[string]member{}
	for _, m := range members {
		m.line = ""
		lines[m.name()] = m
	}
	for _, id := range c.leaving {
		if _, found := lines["server."+id]; found {
			return false
		}
	}
	for _, line := range c.joining {
		name, value, _ := strings.Cut(line, "=")
		wanted, err := parseMember(strings.TrimPrefix(name, "server."), value)
		wanted.line = ""
		if err != nil || lines[name] != wanted {
			return false
		}
	}
	return true
}

// reconfigure makes the change that plan returns, and returns where followers reach each member.
// The connection often breaks before the reply to a change that makes another member the leader.
// Then the configuration shows whether the change was made. Each request is for one version of
// the configuration, so that no change is made twice.
func (s *store) reconfigure(ctx context.Context, plan func(members []member) (change, error)) (map[string][]string, error) {
	again := retry.Backoff{Min: 10 * time.Millisecond, Max: 500 * time.Millisecond}
	var sent change
	var sentAt int64  // the version for which sent was
	var unknown error // why it is not known whether sent was made
	for made := false; ; {
		members, version, err := s.members(ctx)
		switch {
		case made && err != nil:
			// kvdb.ErrNoConnection, which means that nothing was changed, must not be in the error.
			return nil, fmt.Errorf("%w: reconfigured, but the members cannot be read: %w",
				kvdb.ErrUnknownOutcome, driver.WithCause(ctx, errors.New(err.Error())))
		case made, err == nil && unknown != nil && sent.isIn(members):
			urls := map[string][]string{}
			for _, m := range members {
				urls[strconv.FormatUint(m.id, 10)] = m.followerURLs()
			}
			return urls, nil
		case unknown != nil && (err != nil || version != sentAt):
			return nil, unknown
		case err != nil:
			return nil, err
		}
		planned, err := plan(members)
		if err != nil {
			return nil, err
		}
		err = s.write(ctx, func(c *zk.Conn) error {
			_, err := c.IncrementalReconfig(planned.joining, planned.leaving, version)
			return err
		})
		switch {
		case err == nil:
			made = true
		case errors.Is(err, zk.ErrReconfigDisabled):
			return nil, kvdb.ErrNotSupported
		case errors.Is(err, kvdb.ErrUnknownOutcome):
			sent, sentAt, unknown = planned, version, fmt.Errorf("reconfigure: %w", err)
		case errors.Is(err, zk.ErrBadVersion), err.Error() == reconfiguring:
		default:
			return nil, fmt.Errorf("reconfigure: %w", err)
		}
		if !made && again.Wait(ctx) != nil {
			return nil, driver.WithCause(ctx, cmp.Or(unknown, fmt.Errorf("reconfigure: %w", err)))
		}
	}
}
