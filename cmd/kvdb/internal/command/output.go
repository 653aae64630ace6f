package command

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portworx/kvdb"
)

// The formats of output.
const (
	formatTable = "table" // for people
	formatJSON  = "json"  // one JSON value
	formatJSONL = "jsonl" // a JSON value on each line
	formatRaw   = "raw"   // the bytes as they are
)

var formats = []string{formatTable, formatJSON, formatJSONL, formatRaw}

// output writes the results of a command to the standard output, in the format that the user
// wants.
type output struct {
	*bufio.Writer
	app    *app
	format string
	// given reports whether the user chose the format.
	given bool
}

// newOutput returns the output in the format that the user chose, or else as a table.
func (a *app) newOutput() (*output, error) {
	o := &output{bufio.NewWriter(a.Stdout), a, formatTable, a.flags.output != ""}
	if o.given {
		if !slices.Contains(formats, a.flags.output) {
			return nil, usagef("-o %s: the formats are %s", a.flags.output, strings.Join(formats, ", "))
		}
		o.format = a.flags.output
	}
	return o, nil
}

// standard sets the format that counts if the user chose none.
func (o *output) standard(format string) {
	if !o.given {
		o.format = format
	}
}

func (o *output) flush() error { return o.Flush() }

// row is one result.
type row struct {
	// cells are for the columns of a table, as they are: the table escapes them.
	cells []string
	// value is encoded as JSON.
	value any
	// raw is written as it is.
	raw []byte
}

// one writes a single result. As JSON it is no list.
func (o *output) one(columns []column, r row) error {
	if o.format == formatJSON {
		return o.writeJSON(r.value)
	}
	return o.list(columns, func(yield func(row, error) bool) { yield(r, nil) })
}

// list writes results as they come. An error ends it.
func (o *output) list(columns []column, rows iter.Seq2[row, error]) error {
	t := table{output: o, columns: columns}
	first := true
	for r, err := range rows {
		if err != nil { // after what is known
			return errors.Join(err, o.endList(&t, first))
		}
		switch o.format {
		case formatTable:
			err = t.add(r.cells)
		case formatJSONL:
			err = o.writeJSON(r.value)
		case formatRaw:
			_, err = o.Write(r.raw)
		case formatJSON:
			err = o.element(r.value, first)
		}
		if err != nil {
			return err
		}
		first = false
	}
	return o.endList(&t, first)
}

// endList writes the end of a list.
func (o *output) endList(t *table, empty bool) error {
	switch {
	case o.format == formatTable:
		return t.end()
	case o.format == formatJSON && empty:
		_, err := o.WriteString("[]\n")
		return err
	case o.format == formatJSON:
		_, err := o.WriteString("\n]\n")
		return err
	}
	return nil
}

// element writes an element of a JSON list.
func (o *output) element(value any, first bool) error {
	separator := ",\n"
	if first {
		separator = "[\n"
	}
	text, err := encodeJSON(value)
	if err == nil {
		_, err = o.WriteString(separator + strings.TrimSuffix(string(text), "\n"))
	}
	return err
}

// writeJSON writes value on a line.
func (o *output) writeJSON(value any) error {
	text, err := encodeJSON(value)
	if err == nil {
		_, err = o.Write(text)
	}
	return err
}

// encodeJSON returns value as JSON, with a newline.
func encodeJSON(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return b.Bytes(), err
}

// The encodings of keys and values in JSON.
const (
	encodingText   = "utf-8"
	encodingBase64 = "base64"
)

// record is a pair as JSON.
type record struct {
	Key string `json:"key"`
	// KeyEncoding is base64 for a key that is not UTF-8.
	KeyEncoding string `json:"key_encoding,omitempty"`
	// Value is missing in lists of keys.
	Value    *string `json:"value,omitempty"`
	Encoding string  `json:"encoding,omitempty"`
	Created  uint64  `json:"created"`
	Modified uint64  `json:"modified"`
	Index    uint64  `json:"index"`
	TTL      int64   `json:"ttl"`
}

// recordOf returns the record of a pair, without its value if that is nil.
func recordOf(p *kvdb.KVPair) record {
	r := record{Created: p.CreatedIndex, Modified: p.ModifiedIndex, Index: p.KVDBIndex, TTL: p.TTL}
	if r.Key, r.KeyEncoding = encodeText([]byte(p.Key)); r.KeyEncoding == encodingText {
		r.KeyEncoding = ""
	}
	if p.Value != nil {
		var value string
		value, r.Encoding = encodeText(p.Value)
		r.Value = &value
	}
	return r
}

// encodeText returns text for JSON, in base64 if it is not UTF-8.
func encodeText(text []byte) (encoded, encoding string) {
	if utf8.Valid(text) {
		return string(text), encodingText
	}
	return base64.StdEncoding.EncodeToString(text), encodingBase64
}

// pairColumns are the columns of pairs.
var pairColumns = []column{
	{title: "KEY", flexible: true}, {title: "CREATED", right: true}, {title: "MODIFIED", right: true},
	{title: "TTL", right: true}, {title: "VALUE", flexible: true},
}

// pairRow returns a pair for pairColumns. Its raw form is the value.
func pairRow(p *kvdb.KVPair) row {
	return row{
		[]string{p.Key, number(p.CreatedIndex), number(p.ModifiedIndex), seconds(p.TTL), string(p.Value)},
		recordOf(p), p.Value,
	}
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// seconds returns a TTL for people.
func seconds(ttl int64) string {
	if ttl == 0 {
		return "-"
	}
	return (time.Duration(ttl) * time.Second).String()
}
