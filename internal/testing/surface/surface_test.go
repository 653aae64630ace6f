package surface

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the folder of the module.
func root(t *testing.T) string {
	dir, err := filepath.Abs("../../..")
	require.NoError(t, err)
	return dir
}

// run runs the go command in dir and returns what it prints.
func run(t *testing.T, dir string, env []string, args ...string) string {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %v: %s", args, output)
	return string(output)
}

// The programs in testdata compile in a separate module, which refers to this one by a
// replace directive.
func TestProgramsOutside(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata")))
	sums, err := os.ReadFile(filepath.Join(root(t), "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600))
	module := fmt.Sprintf("module example.com/outside\n\ngo 1.26.0\n\nrequire github.com/portworx/kvdb v0.0.0\n\n"+
		"replace github.com/portworx/kvdb => %q\n", root(t))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(module), 0o600))
	run(t, dir, []string{"GOFLAGS=-mod=mod", "GOWORK=off"}, "list", "-export", "./...") // compiles without linking
}

// needs has, for each package, the modules that the build of a program that imports only
// this package needs.
var needs = map[string][]string{
	"":          {"github.com/sirupsen/logrus", "golang.org/x/sys"},
	"/common":   {"github.com/sirupsen/logrus", "golang.org/x/sys"},
	"/driver":   {"github.com/sirupsen/logrus", "golang.org/x/sys"},
	"/engine":   {"github.com/sirupsen/logrus", "golang.org/x/sys", "github.com/tidwall/btree"},
	"/cache":    {"github.com/sirupsen/logrus", "golang.org/x/sys", "github.com/tidwall/btree"},
	"/election": {"github.com/sirupsen/logrus", "golang.org/x/sys"},
	"/wrappers": {"github.com/sirupsen/logrus", "golang.org/x/sys"},
	"/mem":      {"github.com/sirupsen/logrus", "golang.org/x/sys", "github.com/tidwall/btree"},
	"/bolt":     {"github.com/sirupsen/logrus", "golang.org/x/sys", "github.com/tidwall/btree", "go.etcd.io/bbolt"},
	"/etcd/common": {"github.com/sirupsen/logrus", "golang.org/x/sys", "go.etcd.io/etcd/client/pkg/v3", "go.uber.org/zap",
		"go.uber.org/multierr"},
	"/etcd/v2": {"github.com/sirupsen/logrus", "golang.org/x/sys", "github.com/tidwall/btree",
		"go.etcd.io/etcd/client/v2", "go.etcd.io/etcd/client/pkg/v3", "go.etcd.io/etcd/api/v3", // and their dependencies:
		"github.com/coreos/go-semver", "github.com/json-iterator/go", "github.com/modern-go/concurrent",
		"github.com/modern-go/reflect2", "go.uber.org/zap", "go.uber.org/multierr"},
	"/etcd/v3": {"github.com/sirupsen/logrus", "golang.org/x/sys", "github.com/tidwall/btree",
		"go.etcd.io/etcd/client/v3", "go.etcd.io/etcd/client/pkg/v3", "go.etcd.io/etcd/api/v3", // and their dependencies:
		"github.com/coreos/go-semver", "github.com/coreos/go-systemd/v22", "github.com/gogo/protobuf",
		"github.com/golang/protobuf", "github.com/grpc-ecosystem/grpc-gateway/v2", "go.uber.org/zap", "go.uber.org/multierr",
		"golang.org/x/net", "golang.org/x/text", "google.golang.org/genproto/googleapis/api",
		"google.golang.org/genproto/googleapis/rpc", "google.golang.org/grpc", "google.golang.org/protobuf"},
	"/consul": {"github.com/sirupsen/logrus", "golang.org/x/sys", "github.com/tidwall/btree",
		"github.com/hashicorp/consul/api", // and its dependencies:
		"github.com/armon/go-metrics", "github.com/fatih/color", "github.com/go-viper/mapstructure/v2",
		"github.com/hashicorp/errwrap", "github.com/hashicorp/go-cleanhttp", "github.com/hashicorp/go-hclog",
		"github.com/hashicorp/go-immutable-radix", "github.com/hashicorp/go-metrics", "github.com/hashicorp/go-multierror",
		"github.com/hashicorp/go-rootcerts", "github.com/hashicorp/golang-lru", "github.com/hashicorp/serf",
		"github.com/mattn/go-colorable", "github.com/mattn/go-isatty", "golang.org/x/exp"},
	"/zookeeper": {"github.com/sirupsen/logrus", "golang.org/x/sys", "github.com/tidwall/btree",
		"github.com/go-zookeeper/zk"},
	"/mock":              {"github.com/sirupsen/logrus", "golang.org/x/sys", "github.com/golang/mock"},
	"/mock/ubermock":     {"github.com/sirupsen/logrus", "golang.org/x/sys", "go.uber.org/mock"},
	"/api/bootstrap":     nil,
	"/api/bootstrap/k8s": nil,
}

// The build of a program that uses one package needs no modules of other packages, tests or
// generators.
func TestBuildNeeds(t *testing.T) {
	const module = "github.com/portworx/kvdb"
	for path, want := range needs {
		listed := run(t, root(t), nil, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+path)
		got := map[string]bool{}
		for dependency := range strings.Lines(listed) {
			if dependency = strings.TrimSpace(dependency); dependency != "" && dependency != module {
				got[dependency] = true
			}
		}
		allowed := map[string]bool{}
		for _, dependency := range want {
			allowed[dependency] = true
		}
		require.Equal(t, allowed, got, module+path)
	}
}
