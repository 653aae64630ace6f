package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/portworx/kvdb"
)

// The exit codes. A command of lock ends with its own, and a signal with 128 and its number.
const (
	exitOK          = 0
	exitNo          = 1 // not found, or a difference
	exitUsage       = 2
	exitConnection  = 3 // no connection, or no quorum
	exitConflict    = 4 // exists, modified, or another value
	exitIllegal     = 5 // not supported, illegal, or too large
	exitUnknown     = 6 // a write may have happened
	exitDenied      = 7 // login or permission
	exitLock        = 8 // not obtained, or lost
	exitIncomplete  = 9 // of copy
	exitOther       = 10
	exitSignalAdded = 128
)

// Sentinels of this program. They are wrapped by errors that say more.
var (
	errUsage      = errors.New("usage")
	errDifference = errors.New("difference")
	errLock       = errors.New("lock")
	errIncomplete = errors.New("incomplete")
)

// exits has the exit codes of errors, and advice that follows the text of the error. The first
// row that fits counts.
var exits = []struct {
	code   int
	errs   []error
	advice string
}{
	{exitUnknown, []error{kvdb.ErrUnknownOutcome}, "read the key to find out whether it happened"},
	{exitUsage, []error{errUsage}, ""},
	{exitLock, []error{errLock}, ""},
	{exitIncomplete, []error{errIncomplete}, ""},
	{exitNo, []error{errDifference}, ""},
	{exitConnection, []error{kvdb.ErrNoConnection, kvdb.ErrNoQuorum},
		"check that the store runs and that its URL is right"},
	{exitConnection, []error{context.DeadlineExceeded}, "try a longer --timeout"},
	{exitNo, []error{kvdb.ErrNotFound}, `"kvdb ls -r" lists the keys`},
	{exitNo, []error{kvdb.ErrMemberDoesNotExist}, `"kvdb member ls" lists the members`},
	{exitConflict, []error{kvdb.ErrExist}, `"kvdb update" changes a key that exists`},
	{exitConflict, []error{kvdb.ErrModified, kvdb.ErrValueMismatch}, "read the key and try again"},
	{exitDenied, []error{kvdb.ErrLogin, kvdb.ErrNoPassword}, "check the user and the password or token of the store's URL"},
	{exitDenied, []error{kvdb.ErrPermission}, "use a user or token that may do this"},
	{exitIllegal, []error{kvdb.ErrTTLNotSupported}, `"kvdb status" shows which TTLs the store takes`},
	{exitIllegal, []error{kvdb.ErrNotSupported, kvdb.ErrAuthNotSupported}, `"kvdb status" shows what the store can do`},
	{exitIllegal, []error{kvdb.ErrIllegal, kvdb.ErrTooLarge, kvdb.ErrEmptyValue, kvdb.ErrUnmarshal, kvdb.ErrUnknownPermission}, ""},
	{exitLock, []error{kvdb.ErrInvalidLock, kvdb.ErrLockRefreshFailed, kvdb.ErrLockHoldTimeoutTriggered}, ""},
}

// exitError ends the command with a code and without a message, if message is "".
type exitError struct {
	code    int
	message string
}

func (e exitError) Error() string { return e.message }

// interrupted is the cause of a context that a signal has ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "ended by signal " + i.signal.String() }

// usagef returns an error about how the command was called. The text says what would be right.
func usagef(format string, args ...any) error { return wrap(errUsage, format, args...) }

// wrap returns an error with the text and the exit code of sentinel.
func wrap(sentinel error, format string, args ...any) error {
	return classed{sentinel, fmt.Errorf(format, args...)}
}

// classed is an error with the exit code of another one.
type classed struct{ class, err error }

func (c classed) Error() string   { return c.err.Error() }
func (c classed) Unwrap() []error { return []error{c.class, c.err} }

// adviseError is an error that has its own advice.
type adviseError struct {
	error
	advice string
}

func (a adviseError) Unwrap() error { return a.error }

// advise returns err with an advice that replaces that of its class.
func advise(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return adviseError{err, fmt.Sprintf(format, args...)}
}

// exitOf returns the exit code and the message, of one line, for the error of a command whose
// context was ctx.
func exitOf(ctx context.Context, err error) (code int, message string) {
	var exit exitError
	var signal interrupted
	switch {
	case err == nil:
		return exitOK, ""
	case errors.As(err, &exit):
		return exit.code, exit.message
	}
	message, advice := err.Error(), ""
	code = exitOther
	for _, e := range exits {
		if isAny(err, e.errs) {
			code, advice = e.code, e.advice
			break
		}
	}
	var own adviseError
	if errors.As(err, &own) {
		advice = own.advice
	}
	if errors.As(context.Cause(ctx), &signal) {
		if code = exitSignalAdded + int(signal.signal); !errors.Is(err, kvdb.ErrUnknownOutcome) {
			return code, signal.Error()
		}
	}
	if advice != "" {
		message += "; " + advice
	}
	return code, oneLine(message)
}

func isAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// oneLine joins the lines of a message, and escapes control characters.
func oneLine(message string) string {
	var lines []string
	for line := range strings.Lines(message) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, escapeControl(line))
		}
	}
	return strings.Join(lines, "; ")
}
