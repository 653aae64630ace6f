package servers

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// GRPCProxy starts etcd's gRPC proxy, of the cluster's release, in front of all
// members of a cluster without TLS. It returns the proxy's endpoint when it serves
// requests. The proxy ends with the test.
func GRPCProxy(t testing.TB, c *Cluster) string {
	t.Helper()
	program, err := find(c.kind.driver.(etcd).folder, "etcd")
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	port, err := c.ports.reserve()
	c.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	listen := address(loopback, port)
	cmd := exec.Command(program, "grpc-proxy", "start",
		"--listen-addr="+listen, "--advertise-client-url="+listen,
		"--endpoints="+strings.Join(c.Endpoints(), ","), "--data-dir="+filepath.Join(dir, "data"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	output := filepath.Join(dir, outputFile)
	proxy, err := launch(cmd, output, func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the end of the proxy's output:\n%s", tail(output, 4<<10))
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	endpoint := "http://" + listen
	if err := poll(ctx, func() error {
		_, err := c.prober.get(ctx, endpoint+"/health")
		return err
	}); err != nil {
		t.Fatalf("the proxy does not start: %v", err)
	}
	return endpoint
}
