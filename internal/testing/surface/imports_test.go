package surface

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/portworx/kvdb"

// layers has, for the packages at and below a path, the packages of this module that they
// may import: "" is the root package, "/engine" is that package, and "/internal/..." is
// all packages below that path. A row names only packages of the rows above it or of its
// own, so imports point down. If several rows fit a package, the longest path counts.
var layers = map[string][]string{
	"":                   {},
	"/internal/retry":    {},
	"/internal/tree":     {},
	"/internal/option":   {""},
	"/internal/settings": {"", "/internal/option"},
	"/common":            {""},
	"/driver":            {"", "/internal/option"},
	"/internal":          {"", "/driver", "/internal/..."},
	"/engine":            {"", "/common", "/driver", "/internal/..."},

	"/mem":         {"", "/common", "/driver", "/engine", "/internal/..."},
	"/bolt":        {"", "/driver", "/engine", "/internal/..."},
	"/etcd/common": {"", "/internal/..."},
	"/etcd":        {"", "/driver", "/engine", "/etcd/common", "/etcd/internal/...", "/internal/..."},
	"/consul":      {"", "/driver", "/engine", "/consul/internal/...", "/internal/..."},
	"/zookeeper":   {"", "/driver", "/engine", "/zookeeper/internal/...", "/internal/..."},

	"/api":      {},
	"/mock":     {""},
	"/wrappers": {"", "/internal/option"},
	"/kvdbslog": {"", "/wrappers"},
	"/cache":    {"", "/internal/retry"},
	"/election": {"", "/internal/fatalcb", "/internal/retry"},
	"/transfer": {"", "/internal/atomicfile", "/internal/digest", "/internal/fatalcb", "/internal/fit", "/internal/merge", "/internal/reserved", "/internal/retry"},
	"/backup":   {"", "/internal/atomicfile", "/internal/digest", "/internal/fit", "/internal/merge", "/internal/reserved"},
	"/examples": {"", "/election", "/mem", "/bolt", "/etcd/...", "/consul", "/zookeeper"},

	"/test/servers": {},
	"/test":         {"", "/cache", "/election", "/mem", "/wrappers"},
	"/internal/testing": {"", "/wrappers", "/mem", "/bolt", "/etcd/...", "/consul", "/zookeeper", "/internal/...",
		"/internal/testing/...", "/test", "/test/servers"},
}

// Each package imports only packages of the layers below its own. No package that a
// program links imports the suite, the test servers or the tools of development.
func TestImportsPointDown(t *testing.T) {
	packages := json.NewDecoder(strings.NewReader(run(t, root(t), nil, "list", "-json=ImportPath,Imports", "./...")))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := packages.Decode(&p); err == io.EOF {
			return
		} else {
			require.NoError(t, err)
		}
		importer := strings.TrimPrefix(p.ImportPath, module)
		for _, path := range p.Imports {
			if imported, ours := strings.CutPrefix(path, module); ours && !mayImport(importer, imported) {
				t.Errorf("%s must not import %s: see the table layers", p.ImportPath, path)
			}
		}
	}
}

func mayImport(importer, imported string) bool {
	layer := "" // the row of the root package counts for packages without a row
	for path := range layers {
		if isBelow(importer, path) && len(path) > len(layer) {
			layer = path
		}
	}
	const tools = "/internal/testing"
	return slices.ContainsFunc(layers[layer], func(allowed string) bool {
		dir, whole := strings.CutSuffix(allowed, "/...")
		return imported == allowed ||
			whole && isBelow(imported, dir) && (isBelow(dir, tools) || !isBelow(imported, tools))
	})
}

// isBelow reports whether path is dir or below it.
func isBelow(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// The table forbids imports that the layers exclude.
func TestForbiddenImports(t *testing.T) {
	for importer, imported := range map[string]string{
		"": "/internal/tree", "/driver": "/engine", "/engine": "/mem", "/etcd/v3": "/etcd/v2", "/consul": "/zookeeper",
		"/bolt": "/test", "/mem": "/internal/testing/faults", "/internal/call": "/engine", "/internal/option": "/driver",
		"/wrappers": "/engine", "/cache": "/driver", "/unknown": "", "/zookeeper": "/consul/internal/conn", "/test": "/test/servers",
	} {
		require.False(t, mayImport(importer, imported), "%q imports %q", importer, imported)
	}
}

// A program with a store in process links no packages of the network, which are several
// times as large as the library.
func TestStoresInProcessLinkNoNetwork(t *testing.T) {
	linked := strings.Fields(run(t, root(t), nil, "list", "-deps", "./mem", "./bolt", "./wrappers", "./cache", "./election", "./kvdbslog", "./transfer", "./backup"))
	require.Contains(t, linked, module)
	for _, path := range []string{"net", "net/http", "crypto/tls"} {
		require.NotContains(t, linked, path)
	}
}
