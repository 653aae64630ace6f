package command

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

const (
	// completionTime bounds the completion of keys.
	completionTime = 700 * time.Millisecond
	// maxCompletions is how many keys are offered.
	maxCompletions = 1000
)

// completeKeys offers the keys of the store, up to the next separator. It never asks for
// anything, runs no command for a secret, and offers nothing if the store does not answer soon.
func (a *app) completeKeys(c *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	ctx, cancel := context.WithTimeout(c.Context(), completionTime)
	defer cancel()
	offered := make(chan []cobra.Completion, 1)
	go func() { offered <- a.keysFrom(ctx, typed) }()
	select {
	case keys := <-offered:
		return keys, directive
	case <-ctx.Done():
		return nil, directive
	}
}

// keysFrom returns the completions of typed.
func (a *app) keysFrom(ctx context.Context, typed string) (offers []cobra.Completion) {
	t, err := a.choose(a.flags.store, "-s")
	if err != nil || hasCommand(t) {
		return nil
	}
	quiet := &app{Env: a.Env}
	quiet.Terminal = Terminal{}
	s, err := quiet.open(ctx, t, reads)
	if err != nil {
		return nil
	}
	defer func() { _ = s.close(nil) }() // a completion reports no errors
	dir := typed[:strings.LastIndexByte(typed, '/')+1]
	last := ""
	for pair, err := range kvdb.PairsWith(s.kv, typed, kvdb.PageOptions{KeysOnly: true, Hidden: true, Size: maxCompletions}) {
		if err != nil || len(offers) == maxCompletions {
			break
		}
		offer := pair.Key
		if i := strings.IndexByte(offer[len(dir):], '/'); i >= 0 {
			offer = offer[:len(dir)+i+1]
		}
		if offer != last && isPlain(offer) {
			offers = append(offers, offer)
		}
		last = offer
	}
	return offers
}

// isPlain reports whether a key means itself to a shell. Others are not offered, because shells
// put a part that several offers share on the command line as it is.
func isPlain(key string) bool {
	return !strings.ContainsFunc(key, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune("\"'`\\$&|;<>(){}[]*?!#~", r)
	})
}

// hasCommand reports whether a secret of t comes from a command, which may ask for something.
func hasCommand(t target) bool {
	for _, reference := range t.Secrets {
		if strings.HasPrefix(reference, "cmd:") {
			return true
		}
	}
	return false
}
