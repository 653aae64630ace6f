package engine

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// careless is a store that breaks the rules for a missing key and for the next page.
type careless struct{ *fake }

func (careless) Get(context.Context, string) (*kvdb.KVPair, error) { return nil, nil }

func (careless) Delete(context.Context, string, driver.Cond) (*kvdb.KVPair, error) { return nil, nil }

func (careless) List(context.Context, string, driver.ListOptions) (driver.Page, error) {
	return driver.Page{Pairs: kvdb.KVPairs{{Key: "domain/a"}, {Key: "domain/b"}}, More: true}, nil
}

// A store that breaks a rule of the contract leads to an error that names the rule: not
// to a panic, and not to a loop without end.
func TestCarelessStore(t *testing.T) {
	kv := open(t, careless{&fake{}}, nil)
	for rule, call := range map[string]func() error{
		"the backend fake is wrong: Get of a missing key":    func() error { _, err := kv.Get("key"); return err },
		"the backend fake is wrong: Delete of a missing key": func() error { _, err := kv.Delete("key"); return err },
		"the backend fake is wrong: List must return keys from": func() error {
			for _, err := range kv.EnumeratePages("", 2) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		require.ErrorContains(t, call(), rule)
	}
	_, err := kv.GetWithCopy("key", func(val interface{}) interface{} { return val })
	require.ErrorContains(t, err, "Get of a missing key")
	require.NoError(t, kv.Close())
}
