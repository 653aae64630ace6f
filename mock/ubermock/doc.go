// Package ubermock has mocks of kvdb.Kvdb and kvdb.Tx for programs that test with
// go.uber.org/mock.
package ubermock

//go:generate go tool -modfile=../../tools/mock/go.mod go.uber.org/mock/mockgen -write_package_comment=false -package=ubermock -write_command_comment=false -destination=mock.go github.com/portworx/kvdb Kvdb,Tx
