package command

import (
	"context"

	"github.com/spf13/cobra"
)

// bashWords stands in for what the script uses of the package bash-completion, where that is
// missing. Words end at spaces, so that a : or = does not split a URL.
const bashWords = `declare -F _get_comp_words_by_ref >/dev/null || _get_comp_words_by_ref() {
    local typed=${COMP_LINE:0:COMP_POINT}
    read -ra words <<<"$typed"
    case $typed in *[[:space:]]) words+=("") ;; esac
    cword=$((${#words[@]} - 1))
    cur=${words[cword]}
    prev=${words[cword - 1]}
}
`

// newCompletion returns the command that prints the completion script of a shell.
func newCompletion(a *app) *cobra.Command {
	const form = "bash|zsh|fish|powershell"
	c := &cobra.Command{
		Use:   "completion " + form,
		Short: "Print the completion script of a shell",
		Long: `Print the script with which a shell completes commands, flags, contexts and the
keys of the store. Keys come from the store itself, within 700 ms; nothing is
asked for meanwhile, and no command is run for a secret. Keys with characters
that are special to shells are not offered.`,
		Example: `  source <(kvdb completion bash)
  kvdb completion zsh > "${fpath[1]}/_kvdb"
  kvdb completion fish > ~/.config/fish/completions/kvdb.fish`,
		Args:      usage(1, 1, form),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
	}
	c.ValidArgsFunction = cobra.FixedCompletions(c.ValidArgs, cobra.ShellCompDirectiveNoFileComp)
	c.RunE = a.local(func(_ context.Context, out *output, args []string) error {
		switch root := c.Root(); args[0] {
		case "bash":
			if _, err := out.WriteString(bashWords); err != nil {
				return err
			}
			return root.GenBashCompletionV2(out, true)
		case "zsh":
			return root.GenZshCompletion(out)
		case "fish":
			return root.GenFishCompletion(out, true)
		case "powershell":
			return root.GenPowerShellCompletionWithDesc(out)
		}
		return usagef("there is no completion for %q: use %s", args[0], form)
	})
	return c
}
