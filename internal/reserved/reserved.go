// Package reserved has the names of the keys with which the library's own tools mark a store.
package reserved

import "strings"

// Transfer begins the last component of the keys that package transfer uses at a target. Copies,
// comparisons, digests and backups leave them out.
const Transfer = "_kvdb-transfer"

// IsTransfer reports whether a key is one of package transfer.
func IsTransfer(key string) bool {
	return strings.HasPrefix(key[strings.LastIndexByte(key, '/')+1:], Transfer)
}
