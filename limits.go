package kvdb

import "time"

// Limits are what a store can hold. A limit of 0 means that there is none, or that none is
// known. The zero value is that of a [Kvdb] that does not report its limits.
type Limits struct {
	// MaxKey is the maximum length of a key in bytes, without the domain. Calls with a longer
	// key return an error that wraps ErrIllegal.
	MaxKey int
	// MaxValue is the length in bytes up to which every value can be written, if its key has
	// at most 1 KiB with the domain. On Consul a value with a TTL must be smaller. A larger
	// value may be an error that wraps ErrTooLarge: some limits are those of the request that
	// carries key and value.
	MaxValue int
	// MaxTxOps is the maximum number of operations of a transaction. A key that the
	// transaction reads or writes is one operation; on Consul a write may be more. It is 1 if
	// a transaction can have only one key.
	MaxTxOps int
	// MaxTxBytes is the size up to which every transaction can be committed: the sum of
	// TxBytes for all its keys.
	MaxTxBytes int
	// ServerDefaults means that MaxValue, MaxTxOps and MaxTxBytes are the limits of a server
	// as it is configured by default. The server may have others. It alone enforces them, and
	// an error that wraps ErrTooLarge names them. Otherwise the limits are hard: the library
	// or the store enforces them.
	ServerDefaults bool

	// NoTTL means that the store has no TTLs. MinTTL and MaxTTL are the smallest and the
	// largest TTL otherwise. TTLs are whole seconds. Writes with other TTLs return
	// ErrTTLNotSupported.
	NoTTL          bool
	MinTTL, MaxTTL time.Duration
	// NoEmptyValue means that the store cannot hold an empty value.
	NoEmptyValue bool
	// NoKeyAboveKeys means that a key cannot exist while there are keys in the directory with
	// its name: either "a" exists, or keys such as "a/b".
	NoKeyAboveKeys bool

	// HiddenUnlisted means that PairsWith, watches of a prefix and snapshots leave out the keys
	// that have, below the prefix, a component that begins with "_".
	HiddenUnlisted bool

	// Domain is the domain of the instance, as it was given to New.
	Domain string
	// DomainBytes is the number of bytes that the domain adds to each key in the store.
	DomainBytes int
	// CheckKey returns the key that reads return for a pair that is written at key, or the
	// error of calls with key. Most stores keep keys as they are; etcd v2, Consul and
	// ZooKeeper fold runs of slashes, so that two keys can be the same. CheckKey is nil only
	// if the limits are not known.
	CheckKey func(key string) (string, error)
}

// TxBytes returns the size of a key of a transaction, and of the value written to it, for
// MaxTxBytes. It is an upper limit of what they take in a request to any store.
func (l Limits) TxBytes(key string, value []byte) int {
	// Requests have at most three copies of the key, and small fields such as indexes.
	const copies, fields = 3, 512
	return copies*(l.DomainBytes+len(key)) + fields + len(value)
}

// LimitsReporter is implemented by a [Kvdb] that knows the limits of its store. All backends
// of this module implement it.
type LimitsReporter interface {
	// Limits is the same as LimitsOf for this Kvdb.
	Limits() Limits
}

// LimitsOf returns the limits of the store behind kv: behind all its wrappers. It sends no
// request. If kv does not report its limits, LimitsOf returns the zero value.
func LimitsOf(kv Kvdb) Limits {
	for kv != nil {
		if r, ok := kv.(LimitsReporter); ok {
			return r.Limits()
		}
		kv = kv.WrappedKvdb()
	}
	return Limits{}
}
