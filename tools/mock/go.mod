module github.com/portworx/kvdb/tools/mock

go 1.26.0

tool (
	github.com/golang/mock/mockgen
	go.uber.org/mock/mockgen
)

require (
	github.com/golang/mock v1.6.0 // indirect
	go.uber.org/mock v0.6.0 // indirect
	golang.org/x/mod v0.27.0 // indirect
	golang.org/x/sync v0.16.0 // indirect
	golang.org/x/tools v0.36.0 // indirect
)
