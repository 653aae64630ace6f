package kvdb_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/wrappers"
)

// observer is a hook.
type observer struct{ operations []string }

func (o *observer) OnOperationStart(ctx context.Context, _ kvdb.Operation) context.Context {
	return ctx
}

func (o *observer) OnOperationEnd(_ context.Context, op kvdb.Operation, outcome kvdb.Outcome, _ error, _ time.Duration) {
	o.operations = append(o.operations, fmt.Sprintf("%s %q: %s", op.Name, op.Key, outcome))
}

// AddHooks finds the instance behind wrappers and views. It refuses what is not a hook.
func TestAddHooks(t *testing.T) {
	kv, err := kvdb.New(mem.Name, "domain", nil, nil, nil)
	require.NoError(t, err)
	defer kvdb.Close(kv)
	wrapped, err := wrappers.NewNoKvdbQuorumWrapper(kvdb.WithContext(t.Context(), kv), nil)
	require.NoError(t, err)
	require.NoError(t, kvdb.AddHooks(wrapped, &observer{}))
	kvdb.RemoveHooks(wrapped, &observer{})
	require.ErrorIs(t, kvdb.AddHooks(kv, &observer{}, observer{}), kvdb.ErrIllegal, "its methods have pointer receivers")
	require.ErrorIs(t, kvdb.AddHooks(kv, nil), kvdb.ErrIllegal)
	require.Equal(t, kvdb.ErrNotSupported, kvdb.AddHooks(nil, &observer{}))
	kvdb.RemoveHooks(nil, &observer{})
}

// An error's outcome is that of the sentinel which says most about the operation.
func TestOutcomeOf(t *testing.T) {
	wrap := func(errs ...error) error { return fmt.Errorf("call: %w", errors.Join(errs...)) }
	for _, c := range []struct {
		err      error
		want     kvdb.Outcome
		isAnswer bool
	}{
		{nil, kvdb.OutcomeOK, true},
		{wrap(kvdb.ErrNotFound), kvdb.OutcomeNotFound, true},
		{wrap(kvdb.ErrExist), kvdb.OutcomeExists, true},
		{wrap(kvdb.ErrModified), kvdb.OutcomeModified, true},
		{wrap(kvdb.ErrValueMismatch), kvdb.OutcomeValueMismatch, true},
		{wrap(kvdb.ErrTooLarge), kvdb.OutcomeIllegal, false},
		{wrap(kvdb.ErrPermission), kvdb.OutcomeDenied, false},
		{wrap(context.DeadlineExceeded, kvdb.ErrNoConnection), kvdb.OutcomeNoConnection, false},
		{wrap(context.DeadlineExceeded, kvdb.ErrUnknownOutcome), kvdb.OutcomeUnknown, false},
		{wrap(context.DeadlineExceeded), kvdb.OutcomeCanceled, false},
		{kvdb.ErrClosed, kvdb.OutcomeCanceled, false},
		{errors.New("other"), kvdb.OutcomeError, false},
	} {
		outcome := kvdb.OutcomeOf(c.err)
		require.Equal(t, c.want, outcome, "%v", c.err)
		require.Equal(t, c.isAnswer, outcome.IsAnswer(), "%v", outcome)
	}
}
