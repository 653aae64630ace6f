// Package k8s names the Kubernetes objects that bootstrap entries are kept in.
package k8s

import "strings"

const configMapPrefix = "px-bootstrap-"

// GetBootstrapConfigMapName returns the name of the config map that has the
// bootstrap entries of the cluster: "px-bootstrap-" and the letters and digits
// of clusterID, in lower case. Only ASCII letters and digits count, because
// Kubernetes allows no others in a name. Cluster IDs that differ in case or
// punctuation only have the same name, and the length is not bounded
// (Kubernetes takes 253 characters).
func GetBootstrapConfigMapName(clusterID string) string {
	return configMapPrefix + strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(clusterID))
}
