package backup

import (
	"errors"
	"fmt"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/fit"
)

// ErrIncompatible is wrapped by the error of [Restore] if the store cannot hold pairs of the
// backup.
var ErrIncompatible = errors.New("the store cannot hold pairs of the backup")

// plan plans how pairs are restored, which it gets in the order of their keys.
type plan struct {
	*restore
	store fit.Store
	above fit.Path
}

func (re *restore) newPlan() *plan {
	return &plan{restore: re, store: fit.Store{Limits: re.limits, Defaults: re.o.Skip}}
}

// of returns the TTL in seconds with which a pair is restored, 0 for none, and whether it has
// expired. An error says why the store cannot hold it.
func (p *plan) of(pair *kvdb.KVPair) (ttl int64, expired bool, err error) {
	if pair.TTL > 0 && p.o.TTL != TTLDrop {
		ttl = pair.TTL
		if p.o.TTL == TTLAbsolute {
			ttl -= int64(time.Since(p.info.Time) / time.Second)
		}
		if ttl <= 0 {
			return 0, true, nil
		}
		ttl = p.store.TTL(ttl)
	}
	err = p.store.Check(pair, ttl)
	if err == nil && p.limits.NoKeyAboveKeys {
		err = p.above.Enter(pair.Key)
	}
	if errors.Is(err, kvdb.ErrTTLNotSupported) {
		err = fmt.Errorf("%w (mode %s restores it without a TTL)", err, TTLDrop)
	}
	return ttl, false, err
}
