package k8s

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGetBootstrapConfigMapName(t *testing.T) {
	for clusterID, want := range map[string]string{
		"":                       "px-bootstrap-",
		"cluster1":               "px-bootstrap-cluster1",
		"My-Cluster_2.example/x": "px-bootstrap-mycluster2examplex",
		"0b6b-4c":                "px-bootstrap-0b6b4c",
		"größe-日本-٣":             "px-bootstrap-gre",
		"a\xffb":                 "px-bootstrap-ab",
		" \t\n-_.":               "px-bootstrap-",
	} {
		require.Equal(t, want, GetBootstrapConfigMapName(clusterID), "%q", clusterID)
	}
}
