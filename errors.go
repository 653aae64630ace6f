package kvdb

import "errors"

// Errors about the key or pair that a call names.
var (
	// ErrNotFound means that the key does not exist.
	ErrNotFound = errors.New("Key not found")
	// ErrExist means that the key exists already. A lock that was not obtained in time
	// wraps it.
	ErrExist = errors.New("Key already exists")
	// ErrModified means that an index that was compared is not the key's, or that a key
	// which a transaction read has changed.
	ErrModified = errors.New("Key Index mismatch")
	// ErrValueMismatch means that a value that was compared is not the key's.
	ErrValueMismatch = errors.New("Value mismatch")
)

// Errors about the arguments of a call.
var (
	// ErrNotSupported means that the backend does not implement the function, or that
	// no imported package registered the name.
	ErrNotSupported = errors.New("implementation not supported")
	// ErrUnmarshal means that a value could not be decoded.
	ErrUnmarshal = errors.New("Failed to unmarshal value")
	// ErrIllegal is wrapped by the error of a call with an argument that is not valid,
	// for example a key that the store cannot hold.
	ErrIllegal = errors.New("Illegal operation")
	// ErrEmptyValue means that the store cannot hold an empty value.
	ErrEmptyValue = errors.New("Value cannot be empty")
	// ErrTooLarge is wrapped by the error of a write that exceeds a limit of
	// the store. The error names the limit, and nothing was written.
	ErrTooLarge = errors.New("Value or transaction too large for the store")
	// ErrSetTTLFailed means that a TTL could not be set. No backend of this module
	// returns it: it is for programs that compare with it.
	ErrSetTTLFailed = errors.New("Unable to set ttl value")
	// ErrTTLNotSupported means that the store cannot honour the TTL. Nothing was
	// written.
	ErrTTLNotSupported = errors.New("TTL value not supported")
)

// Errors about options and users.
var (
	// ErrNoPassword means that the options have a user and no password.
	ErrNoPassword = errors.New("Username provided without any password")
	// ErrAuthNotSupported means that the backend does not support authentication.
	ErrAuthNotSupported = errors.New("Kvdb authentication not supported")
	// ErrNoCertificate means that the options lack a certificate.
	ErrNoCertificate = errors.New("Certificate File Path not provided")
	// ErrLogin is wrapped by the error of a call whose user, password or token the
	// store does not accept.
	ErrLogin = errors.New("Login failed")
	// ErrPermission is wrapped by the error of a call that the store does not permit
	// this user or token.
	ErrPermission = errors.New("Permission denied")
	// ErrUnknownPermission means that a PermissionType is not one of the constants.
	ErrUnknownPermission = errors.New("Unknown Permission Type")
)

// Errors about members of the cluster.
var (
	// ErrMemberDoesNotExist means that the cluster has no such member.
	ErrMemberDoesNotExist = errors.New("Kvdb member does not exist")
)

// Errors of watches. Each ends its watch.
var (
	// ErrWatchStopped means that the watch was stopped: by its callback, its context or
	// Close, or because the store cannot be reached.
	ErrWatchStopped = errors.New("Watch Stopped")
	// ErrWatchRevisionCompacted means that the store's history no longer reaches back to
	// the index of the watch.
	ErrWatchRevisionCompacted = errors.New("Kvdb watch revision compacted")
)

// Errors of locks.
var (
	// ErrInvalidLock means that a pair is not a lock, or not a lock that is held, or that
	// a key is in use for something that is not a lock.
	ErrInvalidLock = errors.New("Invalid lock/unlock operation")
	// ErrLockRefreshFailed is given to the fatal callback when a lock is lost.
	ErrLockRefreshFailed = errors.New("Failed to refresh lock")
	// ErrLockHoldTimeoutTriggered is given to the fatal callback when a lock is held for
	// longer than its limit.
	ErrLockHoldTimeoutTriggered = errors.New("Lock held beyond configured timeout")
)

// Errors about the state of the store and of the instance.
var (
	// ErrNoConnection is wrapped by the error of a call that did not reach the store in
	// time.
	ErrNoConnection = errors.New("No server connection")
	// ErrUnknownOutcome is wrapped, with the cause, by the error of a write that was sent
	// and not answered. It may have happened or not, and the library could not find out.
	ErrUnknownOutcome = errors.New("Outcome of the write is unknown")
	// ErrClosed is the error of every call that needs the store after Close.
	ErrClosed = errors.New("Kvdb instance is closed")
	// ErrNoQuorum is the error of calls that need the store's data through the wrapper
	// Wrapper_NoQuorum.
	ErrNoQuorum = errors.New("KVDB connection failed, either node has " +
		"networking issues or KVDB members are down or KVDB cluster is unhealthy. " +
		"All operations (get/update/delete) are unavailable.")
)
