package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// committer is a Transactor.
type committer struct{ *fake }

func (committer) Commit(context.Context, []driver.Read, []driver.Write, []driver.Lease) error {
	return nil
}

func TestLimits(t *testing.T) {
	fold := func(key string) (string, error) {
		if strings.Contains(key, "bad") {
			return "", errors.New("it is bad")
		}
		return strings.ReplaceAll(key, "//", "/"), nil
	}
	profile := driver.Profile{
		MinTTL: time.Second, MaxTTL: time.Hour, NoEmptyValue: true, MaxKey: 20, MaxValue: 100, MaxTxOps: 5, MaxTxBytes: 200,
		NoKeyAboveKeys: true, HiddenUnlisted: true, CheckKey: fold,
	}
	limits := func(p driver.Profile) kvdb.Limits { return kvdb.LimitsOf(open(t, committer{&fake{profile: p}}, nil)) }
	l := limits(profile)
	domain := l.DomainBytes
	require.NotZero(t, domain)
	require.Equal(t, len(l.Domain)+1, domain)
	for key, want := range map[string]string{"a//b": "a/b", "bad": "", strings.Repeat("x", 20-domain): strings.Repeat("x", 20-domain), strings.Repeat("x", 21-domain): ""} {
		stored, err := l.CheckKey(key)
		require.Equal(t, want, stored)
		if want == "" {
			require.ErrorIs(t, err, kvdb.ErrIllegal)
			require.ErrorContains(t, err, key)
		}
	}
	l.CheckKey = nil
	require.Equal(t, kvdb.Limits{
		MaxKey: 20 - domain, MaxValue: 100, MaxTxOps: 5, MaxTxBytes: 200, MinTTL: time.Second, MaxTTL: time.Hour,
		NoEmptyValue: true, NoKeyAboveKeys: true, HiddenUnlisted: true, Domain: l.Domain, DomainBytes: domain,
	}, l)

	profile.Server = driver.ServerLimits{MaxValue: 1, MaxTxOps: 2, MaxTxBytes: 3, Defaults: true}
	l = limits(profile)
	require.Equal(t, []any{1, 2, 3, true}, []any{l.MaxValue, l.MaxTxOps, l.MaxTxBytes, l.ServerDefaults})

	profile.PrivateKeyspace, profile.NoTTL = true, true
	l = limits(profile)
	require.Equal(t, []any{20, 0, true}, []any{l.MaxKey, l.DomainBytes, l.NoTTL})
	profile.MaxKey = 0
	require.Zero(t, limits(profile).MaxKey)

	single := kvdb.LimitsOf(open(t, &fake{profile: profile}, nil))
	require.Equal(t, 1, single.MaxTxOps, "a store that is no Transactor has transactions of one key")
}
