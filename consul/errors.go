package consul

import (
	"context"
	"errors"
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// The errors of a reply that is not Consul's.
var (
	errNoID       = errors.New("it does not have the ID of the session")
	errNotWritten = errors.New("it says that the key is written, which is as it was before")
)

// hadEffect returns the error of a call that has had an effect and then failed with
// err. It does not wrap what err wraps, because kvdb.ErrNoConnection says that there was
// no effect.
func hadEffect(ctx context.Context, err error) error {
	return fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, driver.WithCause(ctx, errors.New(err.Error())))
}

// notRunError is the error of a request that may have run, in a call that has no
// effect nevertheless. It does not wrap kvdb.ErrUnknownOutcome.
type notRunError struct{ cause error }

func (e *notRunError) Error() string { return e.cause.Error() }
