package confload

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/nearest"
	"fairway/internal/yamlnode"
)

// parseFile returns what a file gives for each key, and what is wrong with its form.
func parseFile(all []Field, o Options) (map[string]given, Faults) {
	p := &fileParser{o: o, keys: map[string]Field{}, found: map[string]given{}}
	for _, f := range all {
		p.keys[f.Name] = f
	}
	var document yaml.Node
	if err := yaml.Unmarshal(o.Data, &document); err != nil {
		line, reason := yamlnode.Reason(err)
		origin := strings.TrimSuffix(fmt.Sprintf("%s:%d", o.Path, line), ":0") // a line that is not known
		return nil, Faults{{Reason: reason, Origin: origin}}
	}
	if len(document.Content) > 0 && document.Content[0].Tag != "!!null" {
		p.mapping(document.Content[0], "")
	}
	return p.found, p.faults
}

type fileParser struct {
	o      Options
	keys   map[string]Field
	found  map[string]given
	faults Faults
}

func (p *fileParser) fault(n *yaml.Node, key, reason string) {
	p.faults = append(p.faults, Fault{Key: key, Reason: reason, Origin: p.at(n)})
}

func (p *fileParser) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", p.o.Path, n.Line) }

// mapping reads the keys below prefix.
func (p *fileParser) mapping(n *yaml.Node, prefix string) {
	if n.Kind != yaml.MappingNode {
		p.fault(n, strings.TrimSuffix(prefix, "."), "keys and values are expected here")
		return
	}
	below := func(name string) bool {
		return slices.ContainsFunc(slices.Collect(maps.Keys(p.keys)), func(key string) bool { return strings.HasPrefix(key, name+".") })
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name, dotted := prefix+key.Value, strings.Contains(key.Value, ".")
		switch f, ok := p.keys[name]; {
		case seen[name]:
			p.fault(key, name, "given twice")
		case ok && !dotted:
			p.leaf(f, key, yamlnode.Resolve(value))
		case below(name) && !dotted:
			p.mapping(value, name+".")
		default:
			p.fault(key, name, p.unknown(name, key.Value))
		}
		seen[name] = true
	}
}

// unknown explains a key that does not exist.
func (p *fileParser) unknown(name, written string) string {
	if _, ok := p.keys[name]; ok {
		outer, inner, _ := strings.Cut(written, ".")
		return fmt.Sprintf("write it as %q with %q below it", outer+":", inner+":")
	}
	if near := nearest.Word(name, slices.Sorted(maps.Keys(p.keys))); near != "" {
		return fmt.Sprintf("unknown key; did you mean %s?", near)
	}
	return "unknown key; " + p.o.Reference + " lists all keys"
}

// leaf reads the value of one key.
func (p *fileParser) leaf(f Field, key, value *yaml.Node) {
	g := given{origin: p.at(key)}
	switch {
	case value.Tag == "!!null":
		return // as if the key were not there
	case value.Kind == yaml.ScalarNode:
		g.texts = f.split([]string{value.Value})
	case value.Kind == yaml.SequenceNode && f.Repeatable:
		for _, item := range value.Content {
			text, ok := f.itemText(yamlnode.Resolve(item))
			if !ok {
				p.fault(item, f.Name, "one value is expected here")
				return
			}
			g.texts = append(g.texts, text)
		}
	case value.Kind == yaml.MappingNode && f.isPairs():
		for i := 0; i+1 < len(value.Content); i += 2 {
			text := yamlnode.Resolve(value.Content[i+1])
			if text.Kind != yaml.ScalarNode {
				p.fault(value.Content[i], f.Name, "one value is expected here")
				return
			}
			g.texts = append(g.texts, value.Content[i].Value+": "+text.Value)
		}
	default:
		what := "one value"
		if f.Repeatable {
			what = "a list"
		}
		p.fault(value, f.Name, what+" is expected here")
		return
	}
	p.found[f.Name] = g
}
