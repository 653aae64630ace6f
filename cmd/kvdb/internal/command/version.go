package command

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// newVersion returns the command that prints the version.
func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print the version of kvdb",
		Args:              usage(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.local(func(_ context.Context, out *output, _ []string) error {
			version, revision := "(unknown)", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				version = info.Main.Version
				for _, setting := range info.Settings {
					if setting.Key == "vcs.revision" {
						revision = setting.Value
					}
				}
			}
			platform := runtime.GOOS + "/" + runtime.GOARCH
			return out.one([]column{{title: "VERSION"}, {title: "GO"}, {title: "PLATFORM"}, {title: "REVISION", flexible: true}}, row{
				[]string{version, runtime.Version(), platform, revision},
				map[string]string{"version": version, "go": runtime.Version(), "platform": platform, "revision": revision},
				fmt.Appendln(nil, version),
			})
		}),
	}
}
