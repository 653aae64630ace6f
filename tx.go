package kvdb

// TxDeleter is implemented by a [Tx] that can delete keys. The transactions of all backends
// and wrappers of this module implement it.
type TxDeleter interface {
	// Delete is the same as TxDelete for this Tx.
	Delete(key string) error
}

// TxDelete deletes key when tx is committed. A key that does not exist then is no error, and
// nothing is written for it. Later reads in tx return [ErrNotFound]. The last Put or TxDelete
// of a key counts. If tx is not a [TxDeleter], TxDelete returns [ErrNotSupported].
func TxDelete(tx Tx, key string) error {
	if d, ok := tx.(TxDeleter); ok {
		return d.Delete(key)
	}
	return ErrNotSupported
}
