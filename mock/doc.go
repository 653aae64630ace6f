// Package mock has mocks of kvdb.Kvdb and kvdb.Tx for programs that test with
// github.com/golang/mock. That module is no longer maintained, so new programs should use
// package ubermock below this one.
package mock

//go:generate go tool -modfile=../tools/mock/go.mod github.com/golang/mock/mockgen -write_package_comment=false -package=mock -destination=mock.go github.com/portworx/kvdb Kvdb,Tx
