// This program uses everything that package api/bootstrap/k8s exports.
package main

import "github.com/portworx/kvdb/api/bootstrap/k8s"

var _ func(clusterID string) string = k8s.GetBootstrapConfigMapName

func main() {}
