package compose

import (
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"

	"fairway/internal/nearest"
	"fairway/internal/yamlnode"
)

// strict finds keys that Compose does not know. What it knows are the fields of Compose's own
// types.
type strict struct {
	path     string
	problems []Problem
	seen     map[seenNode]bool // aliases may lead to a node many times
}

type seenNode struct {
	node *yaml.Node
	kind reflect.Type
}

// Unknown returns a problem for each key of a file that Compose does not know, with the nearest
// that it does.
func Unknown(path string, root *yaml.Node) []Problem {
	s := &strict{path: path, seen: map[seenNode]bool{}}
	s.node(root, reflect.TypeFor[types.Project](), "include", "version")
	return s.problems
}

func (s *strict) node(n *yaml.Node, t reflect.Type, more ...string) {
	n = yamlnode.Resolve(n)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n == nil || s.seen[seenNode{n, t}] {
		return
	}
	s.seen[seenNode{n, t}] = true
	switch {
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		fields := map[string]reflect.Type{}
		keysOf(t, fields)
		for _, key := range more {
			fields[key] = reflect.TypeFor[any]()
		}
		s.mapping(n, fields)
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		for _, e := range yamlnode.Entries(n) {
			s.node(e.Value, t.Elem())
		}
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for _, item := range yamlnode.List(n) {
			s.node(item, t.Elem())
		}
	}
}

func (s *strict) mapping(n *yaml.Node, fields map[string]reflect.Type) {
	for _, e := range yamlnode.Entries(n) {
		key := e.Key.Value
		t, known := fields[key]
		switch {
		case known:
			s.node(e.Value, t)
		case strings.HasPrefix(key, "x-"):
		default:
			var names []string
			for name := range fields {
				names = append(names, name)
			}
			slices.Sort(names)
			hint := ""
			if word := nearest.Word(key, names); word != "" {
				hint = "did you mean " + word + "?"
			}
			s.problems = append(s.problems, Problem{
				Position: Position{s.path, e.Key.Line}, Code: CodeForm, Text: "Compose knows no key " + key + " here", Hint: hint,
			})
		}
	}
}

// keysOf adds the keys that a struct is read from, those of embedded ones too.
func keysOf(t reflect.Type, into map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Anonymous && strings.Contains(options, "inline"):
			keysOf(f.Type, into)
		case !f.IsExported() || name == "-" || strings.Contains(options, "inline"):
		case name != "":
			into[name] = f.Type
		default:
			json, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			into[json] = f.Type
		}
	}
}

// Interpolated returns a problem for each text of a file, outside of labels, that is not
// written as Compose wants variables or needs one that has no value.
func Interpolated(path string, root *yaml.Node, vars Variables) (problems []Problem) {
	seen := map[*yaml.Node]bool{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "$") {
			if _, err := interpolate(n.Value, vars); err != nil {
				problems = append(problems, Problem{Position: Position{path, n.Line}, Code: CodeVariable, Text: err.Error()})
			}
		}
		for i, child := range n.Content {
			if n.Kind != yaml.MappingNode || i%2 == 1 {
				walk(child)
			}
		}
		walk(n.Alias)
	}
	walk(root)
	return problems
}
