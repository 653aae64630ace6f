package command

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/portworx/kvdb"
)

// parseYAML returns the pairs of mappings.
func parseYAML(text []byte) (pairs []*kvdb.KVPair, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return pairs, nil
		} else if err != nil {
			return nil, err
		}
		for _, root := range document.Content {
			if root.Kind != yaml.MappingNode {
				return nil, fmt.Errorf("line %d: it must have a mapping of keys to values, such as: greeting: hello", root.Line)
			}
			for i := 0; i+1 < len(root.Content); i += 2 {
				pair, err := parseEntry(root.Content[i], root.Content[i+1])
				if err != nil {
					return nil, fmt.Errorf("line %d: %w", root.Content[i].Line, err)
				}
				pairs = append(pairs, pair)
			}
		}
	}
}

// parseEntry returns the pair of a key and its value.
func parseEntry(key, value *yaml.Node) (*kvdb.KVPair, error) {
	name, err := scalar(key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	for value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	var ttl int64
	if value.Kind == yaml.MappingNode {
		var of struct {
			Value yaml.Node `yaml:"value"`
			TTL   int64     `yaml:"ttl"`
		}
		if err := value.Decode(&of); err != nil {
			return nil, fmt.Errorf("key %q: %w", name, err)
		}
		for i := 0; i < len(value.Content); i += 2 {
			if field := value.Content[i].Value; field != "value" && field != "ttl" {
				return nil, fmt.Errorf("key %q: the field %q is not known: a pair has value and ttl", name, field)
			}
		}
		value, ttl = &of.Value, of.TTL
	}
	text, err := scalar(value)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", name, err)
	}
	return newPair(string(name), text, ttl)
}

// The tags of YAML for binary texts, and for nothing.
const (
	yamlBinary = "!!binary"
	yamlNull   = "!!null"
	yamlText   = "!!str"
)

// scalar returns the text of a node.
func scalar(node *yaml.Node) ([]byte, error) {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch tag := node.ShortTag(); {
	case node.Kind != yaml.ScalarNode:
		return nil, errors.New("it must be a text, or value and ttl")
	case tag == yamlNull:
		return nil, errors.New(`it has no value: write "" for an empty one`)
	case tag == yamlBinary:
		return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(node.Value), ""))
	}
	return []byte(node.Value), nil
}

// formatEntry returns a pair as an entry of a YAML mapping. What YAML would not give back as it
// is becomes binary.
func formatEntry(pair *kvdb.KVPair) ([]byte, error) {
	for _, form := range []textForm{textPlain, textQuoted, textBinary} {
		text, err := yaml.Marshal(entryNode(pair, form))
		if err != nil {
			return nil, err
		}
		read, err := parseYAML(text)
		if err == nil && len(read) == 1 && read[0].Key == pair.Key && bytes.Equal(read[0].Value, pair.Value) && read[0].TTL == pair.TTL {
			return text, nil
		}
	}
	return nil, errors.New("it cannot be written as YAML")
}

// textForm is how a text is written in YAML.
type textForm int

const (
	textPlain textForm = iota
	textQuoted
	textBinary
)

func entryNode(pair *kvdb.KVPair, form textForm) *yaml.Node {
	value := textNode(string(pair.Value), form)
	if pair.TTL > 0 {
		ttl := &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatInt(pair.TTL, 10)}
		value = mappingNode(textNode("value", textPlain), value, textNode("ttl", textPlain), ttl)
	}
	return mappingNode(textNode(pair.Key, form), value)
}

func mappingNode(content ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Content: content}
}

// textNode returns a node for a text, which is binary if it must be.
func textNode(text string, form textForm) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: yamlText, Value: text, Style: yaml.DoubleQuotedStyle}
	if form == textBinary || !utf8.ValidString(text) {
		node.Tag, node.Value, node.Style = yamlBinary, base64.StdEncoding.EncodeToString([]byte(text)), 0
	} else if form == textPlain {
		var plain yaml.Node
		if err := plain.Encode(text); err == nil { // quoted if it looks like a number, for example
			return &plain
		}
	}
	return node
}
