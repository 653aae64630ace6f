package kvdb

import "errors"

// Errors about the key or pair that a call names.
var (
	// ErrNotFound raised if Key is not found
	ErrNotFound = errors.New("Key not found")
	// ErrExist raised if key already exists
	ErrExist = errors.New("Key already exists")
	// ErrModified raised during an atomic operation if the index does not match the one in the store
	ErrModified = errors.New("Key Index mismatch")
	// ErrValueMismatch raised if existing KVDB value mismatches with user provided value
	ErrValueMismatch = errors.New("Value mismatch")
)

// Errors about what the caller handed in, or asked for.
var (
	// ErrNotSupported implementation of a specific function is not supported.
	ErrNotSupported = errors.New("implementation not supported")
	// ErrUnmarshal raised if Get fails to unmarshal value.
	ErrUnmarshal = errors.New("Failed to unmarshal value")
	// ErrIllegal raised if object is not valid.
	ErrIllegal = errors.New("Illegal operation")
	// ErrEmptyValue raised if the value is empty
	ErrEmptyValue = errors.New("Value cannot be empty")
	// ErrTooLarge is wrapped by the error of a write that exceeds a limit of
	// the store; the error names the limit and nothing was written.
	ErrTooLarge = errors.New("Value or transaction too large for the store")
	// ErrSetTTLFailed raised if unable to set ttl value for a key create/put/update action
	ErrSetTTLFailed = errors.New("Unable to set ttl value")
	// ErrTTLNotSupported if kvdb implementation doesn't support TTL
	ErrTTLNotSupported = errors.New("TTL value not supported")
)

// Errors about options and users.
var (
	// ErrNoPassword provided
	ErrNoPassword = errors.New("Username provided without any password")
	// ErrAuthNotSupported authentication not supported for this kvdb implementation
	ErrAuthNotSupported = errors.New("Kvdb authentication not supported")
	// ErrNoCertificate no certificate provided for authentication
	ErrNoCertificate = errors.New("Certificate File Path not provided")
	// ErrLogin is wrapped by the error of a call whose user, password or token the
	// store does not accept.
	ErrLogin = errors.New("Login failed")
	// ErrPermission is wrapped by the error of a call that the store does not permit
	// this user or token.
	ErrPermission = errors.New("Permission denied")
	// ErrUnknownPermission raised if unknown permission type
	ErrUnknownPermission = errors.New("Unknown Permission Type")
)

// Errors about members of the cluster.
var (
	// ErrMemberDoesNotExist returned when an operation fails for a member
	// which does not exist
	ErrMemberDoesNotExist = errors.New("Kvdb member does not exist")
)

// Errors of watches. Each ends its watch.
var (
	// ErrWatchStopped is raised when user stops watch.
	ErrWatchStopped = errors.New("Watch Stopped")
	// ErrWatchRevisionCompacted requested watch version has been compacted
	ErrWatchRevisionCompacted = errors.New("Kvdb watch revision compacted")
)

// Errors of locks.
var (
	// ErrInvalidLock Lock and unlock operations don't match.
	ErrInvalidLock = errors.New("Invalid lock/unlock operation")
	// ErrLockRefreshFailed could not refresh lock key so exclusive access to lock may be lost
	ErrLockRefreshFailed = errors.New("Failed to refresh lock")
	// ErrLockHoldTimeoutTriggered triggers if lock is held beyond configured timeout
	ErrLockHoldTimeoutTriggered = errors.New("Lock held beyond configured timeout")
)

// Errors about the store's health, and the instance's.
var (
	// ErrNoConnection no connection to server
	ErrNoConnection = errors.New("No server connection")
	// ErrUnknownOutcome is wrapped, with the cause, by the error of a write
	// that was sent and never answered: it may have happened or not, and the
	// library could not find out.
	ErrUnknownOutcome = errors.New("Outcome of the write is unknown")
	// ErrClosed is the error of every call that needs the store after Close.
	ErrClosed = errors.New("Kvdb instance is closed")
	// ErrNoQuorum kvdb has lost quorum
	ErrNoQuorum = errors.New("KVDB connection failed, either node has " +
		"networking issues or KVDB members are down or KVDB cluster is unhealthy. " +
		"All operations (get/update/delete) are unavailable.")
)
