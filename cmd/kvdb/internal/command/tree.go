package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// node is a key, a directory, or both.
type node struct {
	Name     string  `json:"name"`
	Key      bool    `json:"key"`
	Children []*node `json:"children,omitempty"`

	byName map[string]*node // the children
}

// add adds the key with these components.
func (n *node) add(components []string) {
	if len(components) == 0 {
		n.Key = true
		return
	}
	child := n.byName[components[0]]
	if child == nil {
		if n.byName == nil {
			n.byName = map[string]*node{}
		}
		child = &node{Name: components[0]}
		n.byName[child.Name] = child
		n.Children = append(n.Children, child)
	}
	child.add(components[1:])
}

// newTree returns the command that draws directories.
func newTree(a *app) *cobra.Command {
	const form = "[DIR]"
	var levels int
	c := &cobra.Command{
		Use:   "tree " + form,
		Short: "Draw the keys below a directory as a tree",
		Long: `Draw the keys below a directory as a tree. With -L, draw only so many levels: a
name that ends in / then has more below it. The last line has the number of all
keys.`,
		Example:           "  kvdb tree\n  kvdb tree -L 2 app",
		Args:              usage(0, 1, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(reads, func(_ context.Context, s *session, args []string) error {
			if levels < 0 {
				return usagef("--levels %d must not be negative", levels)
			}
			dir := argument(args, 0)
			root := &node{Name: dir}
			keys := 0
			prefix := directory(dir)
			for pair, err := range s.pairs(prefix, true) {
				if err != nil {
					return about(dir, err)
				}
				keys++
				components := strings.Split(strings.TrimPrefix(pair.Key, prefix), kvdb.DefaultSeparator)
				if levels > 0 && len(components) > levels {
					components = components[:levels]
					components[levels-1] += kvdb.DefaultSeparator
				}
				root.add(components)
			}
			switch s.out.format {
			case formatJSON, formatJSONL:
				return s.out.writeJSON(root)
			case formatRaw:
				return usagef("a tree has no raw format: use ls -r -o raw")
			}
			return s.draw(root, keys)
		}),
	}
	c.Flags().IntVarP(&levels, "levels", "L", 0, "number of levels, 0 for all")
	return c
}

// draw writes the tree for a person.
func (s *session) draw(root *node, keys int) error {
	name := root.Name
	if name == "" {
		name = s.target.String()
	}
	if _, err := s.out.WriteString(s.paint(s.Terminal.Out, blue, escape(name)) + "\n"); err != nil {
		return err
	}
	if err := s.drawChildren(root, ""); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "%d %s\n", keys, plural(keys, "key"))
	return err
}

func (s *session) drawChildren(n *node, indent string) error {
	for i, child := range n.Children {
		branch, below := "├── ", "│   "
		if i == len(n.Children)-1 {
			branch, below = "└── ", "    "
		}
		name := escape(child.Name)
		if len(child.Children) > 0 {
			name = s.paint(s.Terminal.Out, blue, name)
		}
		if _, err := s.out.WriteString(indent + branch + name + "\n"); err != nil {
			return err
		}
		if err := s.drawChildren(child, indent+below); err != nil {
			return err
		}
	}
	return nil
}

// plural returns noun for a number of things.
func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
