package kvdb

import (
	"context"
	"errors"
)

// Outcome is the class of an operation's result.
type Outcome string

// The outcomes of operations.
const (
	// OutcomeOK means that the operation succeeded.
	OutcomeOK Outcome = "ok"
	// OutcomeNotFound, OutcomeExists, OutcomeModified, OutcomeValueMismatch and
	// OutcomeLocked are answers of the store: ErrNotFound, ErrExist, ErrModified,
	// ErrValueMismatch, and a lock that was not obtained in time.
	OutcomeNotFound      Outcome = "not_found"
	OutcomeExists        Outcome = "exists"
	OutcomeModified      Outcome = "modified"
	OutcomeValueMismatch Outcome = "value_mismatch"
	OutcomeLocked        Outcome = "locked"
	// OutcomeIllegal means that the arguments are not valid, too large or not supported.
	OutcomeIllegal Outcome = "illegal"
	// OutcomeDenied means that the login failed or the call is not permitted.
	OutcomeDenied Outcome = "denied"
	// OutcomeNoConnection means that the store was not reached.
	OutcomeNoConnection Outcome = "no_connection"
	// OutcomeUnknown means that a write may have happened or not.
	OutcomeUnknown Outcome = "unknown_outcome"
	// OutcomeCanceled means that the caller's context ended, or the instance was closed.
	OutcomeCanceled Outcome = "canceled"
	// OutcomeError is any other error.
	OutcomeError Outcome = "error"
)

// IsAnswer reports whether the operation succeeded or its error is an answer of the store,
// such as OutcomeNotFound. Others are failures.
func (o Outcome) IsAnswer() bool {
	switch o {
	case OutcomeOK, OutcomeNotFound, OutcomeExists, OutcomeModified, OutcomeValueMismatch, OutcomeLocked:
		return true
	}
	return false
}

// outcomes are the sentinels of each outcome, those that decide before others first: an
// unknown outcome may wrap a context error, for example.
var outcomes = []struct {
	outcome   Outcome
	sentinels []error
}{
	{OutcomeUnknown, []error{ErrUnknownOutcome}},
	{OutcomeNoConnection, []error{ErrNoConnection, ErrNoQuorum}},
	{OutcomeCanceled, []error{context.Canceled, context.DeadlineExceeded, ErrClosed}},
	{OutcomeNotFound, []error{ErrNotFound, ErrMemberDoesNotExist}},
	{OutcomeExists, []error{ErrExist}},
	{OutcomeModified, []error{ErrModified}},
	{OutcomeValueMismatch, []error{ErrValueMismatch}},
	{OutcomeDenied, []error{ErrLogin, ErrPermission}},
	{OutcomeIllegal, []error{
		ErrIllegal, ErrNotSupported, ErrUnmarshal, ErrEmptyValue, ErrTooLarge, ErrTTLNotSupported, ErrInvalidLock, ErrUnknownPermission,
	}},
}

// OutcomeOf returns the outcome of an operation that returned err. It does not return
// OutcomeLocked: whether [ErrExist] means that depends on the operation.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return OutcomeOK
	}
	for _, o := range outcomes {
		for _, sentinel := range o.sentinels {
			if errors.Is(err, sentinel) {
				return o.outcome
			}
		}
	}
	return OutcomeError
}
