// Package k8s names the Kubernetes objects that bootstrap entries are kept in.
package k8s

import "strings"

const configMapPrefix = "px-bootstrap-"

// GetBootstrapConfigMapName returns the name of the config map that has the bootstrap
// entries of the cluster: "px-bootstrap-" followed by the ASCII letters and digits of
// clusterID in lower case, because Kubernetes allows no other letters and digits in a name.
// Cluster IDs that differ only in case or punctuation have the same name. The length of the
// name is not bounded; Kubernetes allows 253 characters.
func GetBootstrapConfigMapName(clusterID string) string {
	return configMapPrefix + strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(clusterID))
}
