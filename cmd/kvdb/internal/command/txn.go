package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// operation is a line of the input of txn.
type operation struct {
	Op          string  `json:"op"`
	Key         string  `json:"key"`
	KeyEncoding string  `json:"key_encoding"`
	Value       *string `json:"value"`
	Encoding    string  `json:"encoding"`
	TTL         int64   `json:"ttl"`
	// Created, Modified and Exists are conditions of check, if they are not nil.
	Created  *uint64 `json:"created"`
	Modified *uint64 `json:"modified"`
	Exists   *bool   `json:"exists"`

	key   string
	value []byte
}

// newTxn returns the command that applies several operations in one step.
func newTxn(a *app) *cobra.Command {
	const form = "[FILE]"
	var dryRun bool
	c := &cobra.Command{
		Use:   "txn " + form,
		Short: "Check, write and delete several keys in one step",
		Long: `Apply the operations in a file or of standard input, all of them or none. Each
line is a JSON object with op, key and, depending on op:

  check   any of modified, created, value, exists (true or false): if one
          is not so, nothing is applied and the exit code is 4
  put     value, and ttl in seconds
  delete  nothing else; a missing key is fine

A value or key that is not text is in base64, with encoding or key_encoding.
Keys that were checked must not change until the end: else the exit code is 4.
etcd v2 takes one key only.`,
		Example: `  kvdb txn <<'END'
  {"op":"check","key":"app/owner","value":"me"}
  {"op":"put","key":"app/colour","value":"red","ttl":3600}
  {"op":"delete","key":"app/old"}
  END`,
		Args: usage(0, 1, form),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // files
		},
		RunE: a.runs(writes, func(ctx context.Context, s *session, args []string) error {
			f := valueFlags{argument(args, 0)}
			text, err := s.value(ctx, f, nil)
			if err != nil {
				return err
			}
			operations, err := readOperations(text)
			if err != nil {
				return err
			}
			return s.commit(operations, dryRun)
		}),
	}
	c.Flags().BoolVarP(&dryRun, dryRunFlag, "n", false, "check the conditions and limits, and change nothing")
	return c
}

// readOperations reads the lines of text.
func readOperations(text []byte) (operations []operation, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for number := 1; lines.Scan(); number++ {
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 {
			o, err := readOperation(line)
			if err != nil {
				return nil, usagef("line %d: %w", number, err)
			}
			operations = append(operations, o)
		}
	}
	if len(operations) == 0 && lines.Err() == nil {
		return nil, usagef("there are no operations: write a JSON object on each line")
	}
	return operations, lines.Err()
}

// readOperation reads a line.
func readOperation(line []byte) (o operation, err error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o); err != nil {
		return o, fmt.Errorf(`%w: write an object such as {"op":"put","key":"a","value":"1"}`, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return o, errors.New("one object on each line, and nothing behind it")
	}
	key, err := decodeText(o.Key, o.KeyEncoding)
	if err != nil {
		return o, err
	}
	if o.key = string(key); o.Value != nil {
		if o.value, err = decodeText(*o.Value, o.Encoding); err != nil {
			return o, err
		}
	}
	conditions := o.Created != nil || o.Modified != nil || o.Exists != nil
	switch {
	case o.TTL < 0 || o.TTL > maxTTL:
		return o, errors.New("the ttl must be a number of whole seconds, and not too large")
	case o.Op == "check" && (conditions || o.Value != nil) && o.TTL == 0:
	case o.Op == "put" && o.Value != nil && !conditions:
	case o.Op == "delete" && o.Value == nil && !conditions && o.TTL == 0:
	case o.Op == "check":
		return o, errors.New("a check has one or more of modified, created, value and exists, and no ttl")
	case o.Op == "put":
		return o, errors.New("a put has a value, maybe a ttl, and no condition")
	case o.Op == "delete":
		return o, errors.New("a delete has a key only")
	default:
		return o, fmt.Errorf("the op %q must be check, put or delete", o.Op)
	}
	return o, nil
}

// commit applies the operations.
func (s *session) commit(operations []operation, dryRun bool) error {
	tx, err := s.kv.TxNew()
	if err != nil {
		return err
	}
	for _, o := range operations {
		if err := s.add(tx, o); err != nil {
			return errors.Join(about(o.key, err), tx.Abort())
		}
	}
	if dryRun {
		return errors.Join(tx.Prepare(), tx.Abort())
	}
	return advise(tx.Commit(), "nothing was applied")
}

// add adds an operation to the transaction, or returns an error if its condition does not hold.
func (s *session) add(tx kvdb.Tx, o operation) error {
	switch o.Op {
	case "put":
		ttl, err := s.ttlSeconds(time.Duration(o.TTL) * time.Second)
		if err == nil {
			_, err = tx.Put(o.key, o.value, ttl)
		}
		return err
	case "delete":
		return kvdb.TxDelete(tx, o.key)
	}
	pair, err := tx.Get(o.key)
	missing := errors.Is(err, kvdb.ErrNotFound)
	if err != nil && !missing {
		return err
	}
	const none = "nothing was applied"
	switch {
	case o.Exists != nil && *o.Exists && missing:
		return advise(wrap(kvdb.ErrModified, "it does not exist"), none)
	case o.Exists != nil && !*o.Exists && !missing:
		return advise(wrap(kvdb.ErrModified, "it exists"), none)
	case missing && (o.Modified != nil || o.Created != nil || o.Value != nil):
		return advise(wrap(kvdb.ErrModified, "it does not exist"), none)
	case o.Modified != nil && *o.Modified != pair.ModifiedIndex:
		return advise(wrap(kvdb.ErrModified, "it was modified at index %d", pair.ModifiedIndex), none)
	case o.Created != nil && *o.Created != pair.CreatedIndex:
		return advise(wrap(kvdb.ErrModified, "it was created at index %d", pair.CreatedIndex), none)
	case o.Value != nil && !bytes.Equal(o.value, pair.Value):
		return advise(wrap(kvdb.ErrValueMismatch, "it has another value"), none)
	}
	return nil
}
