package command

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// newExport returns the command that writes pairs for other programs.
func newExport(a *app) *cobra.Command {
	const form = "[PREFIX]"
	var format, dir string
	c := &cobra.Command{
		Use:   "export " + form,
		Short: "Write all pairs as JSON, YAML, files, or for Consul",
		Long: `Write all pairs, hidden ones too, in the order of their keys. PREFIX is how the
keys begin, such as app/. The formats are:

  jsonl   a JSON object for each pair, on a line (this is the default)
  json    a list of these
  yaml    a mapping of keys to values, or to value and ttl
  consul  what "consul kv import" reads; it has no TTLs

With --dir, each key becomes a file in a new folder, and its value the content.
In names, % and two hexadecimal digits stand for a byte; only letters, digits
and -_+=,@~. are as they are, without a dot at the beginning. An empty component
is %, and a key with keys below it is the file %value in its folder. TTLs are in
the file .kvdb.json.

"kvdb import" reads all of these. For a backup, which has a checksum, use
"kvdb backup".`,
		Example: `  kvdb export > all.jsonl
  kvdb export --format yaml app/ > app.yaml
  kvdb export --dir conf conf/`,
		Args:              usage(0, 1, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(reads, func(_ context.Context, s *session, args []string) error {
			pairs := kvdb.PairsWith(s.kv, argument(args, 0), kvdb.PageOptions{Hidden: true, TTL: !s.limits.NoTTL})
			if dir != "" {
				if format != "" || s.out.given {
					return usagef("use --dir, or a format, not both")
				}
				return s.exportFolder(pairs, dir)
			}
			if format == "" && s.out.given {
				format = s.out.format
			}
			if err := checkFormat(format); err != nil {
				return err
			}
			return s.export(pairs, format)
		}),
	}
	addFormat(c, &format)
	c.Flags().StringVarP(&dir, "dir", "d", "", "new folder for a file for each key")
	_ = c.MarkFlagDirname("dir") // the flag exists
	return c
}

// addFormat adds the flag --format to c.
func addFormat(c *cobra.Command, format *string) {
	c.Flags().StringVarP(format, "format", "f", "", "jsonl, json, yaml or consul")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(fileFormats, cobra.ShellCompDirectiveNoFileComp)) // it exists
}

// export writes the pairs to the standard output.
func (s *session) export(pairs iter.Seq2[*kvdb.KVPair, error], format string) error {
	switch format {
	case formatYAML:
		return s.exportYAML(pairs)
	case formatConsul:
		return s.exportConsul(pairs)
	case formatJSON:
		s.out.format = formatJSON
	default:
		s.out.format = formatJSONL
	}
	return s.exportRows(pairs, func(pair *kvdb.KVPair) (any, error) { return recordOf(pair), nil })
}

// exportRows writes what of returns for each pair.
func (s *session) exportRows(pairs iter.Seq2[*kvdb.KVPair, error], of func(*kvdb.KVPair) (any, error)) error {
	return s.out.list(nil, func(yield func(row, error) bool) {
		for pair, err := range pairs {
			var r row
			if err == nil {
				r.value, err = of(pair)
				err = about(pair.Key, err)
			}
			if !yield(r, err) {
				return
			}
		}
	})
}

// consulRecord is a pair as "consul kv export" writes it.
type consulRecord struct {
	Key   string `json:"key"`
	Flags uint64 `json:"flags"`
	Value string `json:"value"`
}

// exportConsul writes the pairs as "consul kv export" does.
func (s *session) exportConsul(pairs iter.Seq2[*kvdb.KVPair, error]) error {
	s.out.format = formatJSON
	expire := 0
	err := s.exportRows(pairs, func(pair *kvdb.KVPair) (any, error) {
		if !utf8.ValidString(pair.Key) {
			return nil, advise(fmt.Errorf("%w: it is not UTF-8", kvdb.ErrIllegal), "use another --format")
		}
		if pair.TTL > 0 {
			expire++
		}
		return consulRecord{Key: pair.Key, Value: base64.StdEncoding.EncodeToString(pair.Value)}, nil
	})
	if err == nil && expire > 0 {
		_, err = fmt.Fprintf(s.Stderr, "kvdb: Consul's format has no TTLs: %s in the store\n", countOf(expire, "pair expires", "pairs expire"))
	}
	return err
}

// exportYAML writes the pairs as one mapping.
func (s *session) exportYAML(pairs iter.Seq2[*kvdb.KVPair, error]) error {
	empty := true
	for pair, err := range pairs {
		if err != nil {
			return err
		}
		empty = false
		text, err := formatEntry(pair)
		if err == nil {
			_, err = s.out.Write(text)
		}
		if err != nil {
			return about(pair.Key, err)
		}
	}
	if empty {
		_, err := s.out.WriteString("{}\n")
		return err
	}
	return nil
}

// exportFolder writes the pairs to a new folder.
func (s *session) exportFolder(pairs iter.Seq2[*kvdb.KVPair, error], dir string) error {
	folder, err := newFolder(dir)
	if err != nil {
		return err
	}
	p := s.startProgress("export")
	defer p.end()
	for pair, failed := range pairs {
		if err = failed; err != nil {
			break
		}
		if err = folder.add(pair); err != nil {
			err = advise(about(pair.Key, err), "use --format jsonl if the file system cannot have such a name")
			break
		}
		p.count(pair)
	}
	return errors.Join(err, folder.close())
}
