// Package yamlnode reads YAML that people wrote: strictly with a Reader, which reports
// every fault with its line, or leniently with Get and Entries, as Docker Compose does.
package yamlnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/nearest"
)

// Reader reads a file strictly and collects its faults. The zero value is ready.
type Reader struct {
	faults []error
}

// Document returns the root of the only document in data. required is the key
// that is missing from an empty file.
func Document(data []byte, required string) (*yaml.Node, error) {
	var root yaml.Node
	loader := yaml.NewDecoder(bytes.NewReader(data))
	if err := loader.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("empty: %q is missing", required)
		}
		return nil, err
	}
	if err := loader.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		return root.Content[0], nil
	}
	return &root, nil
}

// Fault notes what is wrong at a node.
func (r *Reader) Fault(n *yaml.Node, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...)))
}

// Err returns all faults, joined; nil when there are none.
func (r *Reader) Err() error { return errors.Join(r.faults...) }

// Items returns the items of a list. A missing one and null count as empty.
func (r *Reader) Items(n *yaml.Node, what string) []*yaml.Node {
	switch {
	case n == nil || n.Tag == "!!null":
		return nil
	case n.Kind != yaml.SequenceNode:
		r.Fault(n, "%s: want a list", what)
		return nil
	}
	return n.Content
}

// Texts reads a mapping with any keys; read takes one value and reports what is
// wrong with it. A missing or empty mapping is nil.
func (r *Reader) Texts(n *yaml.Node, what string, read func(key string, value *yaml.Node) (text string, ok bool)) map[string]string {
	if n == nil {
		return nil
	}
	pairs := r.Fields(n, what)
	if len(pairs) == 0 {
		return nil
	}
	texts := make(map[string]string, len(pairs))
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		if text, ok := read(key, pairs[key]); ok {
			texts[key] = text
		}
	}
	return texts
}

// Fields returns the values of a mapping that may have only the known keys, any where
// none is named; nil when n is no mapping. Aliases are refused rather than followed: a
// few lines of them can stand for any amount of text.
func (r *Reader) Fields(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	if n.Kind != yaml.MappingNode {
		r.Fault(n, "%s: want a mapping", what)
		return nil
	}
	fields := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name, ok := Scalar(key)
		switch {
		case !ok || name == "":
			r.Fault(key, "%s: want a plain key", what)
			continue
		case fields[name] != nil:
			r.Fault(key, "%s: key %q is there twice", what, name)
			continue
		case value.Kind == yaml.AliasNode || name == "<<":
			r.Fault(value, "%s: aliases are not followed, write it out", what)
			continue
		case len(known) > 0 && !slices.Contains(known, name):
			hint := ", only " + strings.Join(known, ", ")
			if near := nearest.Word(name, known); near != "" {
				hint = fmt.Sprintf(" (did you mean %q?)", near)
			}
			r.Fault(key, "%s has no key %q%s", what, name, hint)
		}
		fields[name] = value
	}
	return fields
}

// Text returns the value of a field of parent. ok is false when it has none, which
// is a fault if it is required, unless parent is no mapping and reported already.
func (r *Reader) Text(parent *yaml.Node, fields map[string]*yaml.Node, key string, required bool) (text string, ok bool) {
	n := fields[key]
	if n == nil {
		if required && fields != nil {
			r.Fault(parent, "%q is missing", key)
		}
		return "", false
	}
	if text, ok = Scalar(n); !ok || text == "" {
		r.Fault(n, "%q: want one text", key)
		return "", false
	}
	return text, true
}

// Scalar returns a plain value as it is written; null counts as "". ok is false
// for a mapping, a list, an alias and nil.
func Scalar(n *yaml.Node) (text string, ok bool) {
	switch {
	case n == nil || n.Kind != yaml.ScalarNode:
		return "", false
	case n.Tag == "!!null":
		return "", true
	}
	return n.Value, true
}
