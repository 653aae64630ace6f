package engine

import (
	"cmp"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Limits implements kvdb.LimitsReporter.
func (i *instance) Limits() kvdb.Limits {
	p, s := i.profile, i.profile.Server
	l := kvdb.Limits{
		MaxValue:       cmp.Or(s.MaxValue, p.MaxValue),
		MaxTxOps:       cmp.Or(s.MaxTxOps, p.MaxTxOps),
		MaxTxBytes:     cmp.Or(s.MaxTxBytes, p.MaxTxBytes),
		ServerDefaults: s.Defaults,
		NoTTL:          p.NoTTL,
		MinTTL:         p.MinTTL,
		MaxTTL:         p.MaxTTL,
		NoEmptyValue:   p.NoEmptyValue,
		NoKeyAboveKeys: p.NoKeyAboveKeys,
		HiddenUnlisted: p.HiddenUnlisted,
		Domain:         i.given,
		DomainBytes:    len(i.prefix),
		CheckKey: func(key string) (string, error) {
			full, err := i.key(key)
			if err != nil {
				return "", err
			}
			return i.relative(full), nil
		},
	}
	if p.MaxKey > 0 {
		l.MaxKey = max(p.MaxKey-l.DomainBytes, 1)
	}
	if _, ok := i.store.(driver.Transactor); !ok {
		l.MaxTxOps = 1
	}
	return l
}
