module github.com/portworx/kvdb/examples/backend

go 1.26.0

require github.com/portworx/kvdb v0.0.0

require (
	github.com/sirupsen/logrus v1.10.2 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
	github.com/tidwall/btree v1.8.2 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/portworx/kvdb => ../..
