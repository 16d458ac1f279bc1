package nginxproxy

import (
	"cmp"
	"fmt"

	"go.yaml.in/yaml/v4"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
)

// readMultiports reads hosts, their paths, and where each leads. JSON is YAML.
func readMultiports(text, label string) ([]place, error) {
	const hint = "write a mapping of hosts, in each of paths, in each of port, dest and proto"
	if refused := draft.CheckText(text, true); refused != nil {
		return nil, refused
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil || len(document.Content) != 1 {
		return nil, draft.Bad(hint, "it is no YAML")
	}
	var list []place
	hosts, err := entries(document.Content[0], "the hosts")
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		paths, err := entries(h.value, "the paths of "+chars.Excerpt(h.key))
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			paths = []entry{{"/", nil}}
		}
		for _, p := range paths {
			at := place{host: h.key, path: cmp.Or(p.key, "/"), label: label}
			if at.host == "" {
				return nil, draft.Bad(hint, "a host is empty")
			}
			settings, err := entries(p.value, "what belongs to "+chars.Excerpt(p.key))
			if err != nil {
				return nil, err
			}
			for _, s := range settings {
				into := map[string]*string{"port": &at.port, "dest": &at.dest, "proto": &at.proto}[s.key]
				if into == nil || s.value.Kind != yaml.ScalarNode {
					return nil, draft.Bad(hint, "%s is none of port, dest and proto", chars.Excerpt(s.key))
				}
				*into = s.value.Value
			}
			if list = append(list, at); len(list) > draft.MaxListItems {
				return nil, draft.Bad("use several containers", "it has more than %d paths", draft.MaxListItems)
			}
		}
	}
	return list, nil
}

type entry struct {
	key   string
	value *yaml.Node
}

// entries are those of a mapping, or of nothing, each key once.
func entries(n *yaml.Node, what string) ([]entry, error) {
	if n == nil || n.Kind == yaml.ScalarNode && (n.Tag == "!!null" || n.Value == "") {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, draft.Bad("", "%s are no mapping", what)
	}
	var list []entry
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if n.Content[i].Kind != yaml.ScalarNode || seen[key] {
			return nil, draft.Bad("", "%s", fmt.Sprintf("%s has %s twice, or in another form than text", what, chars.Excerpt(key)))
		}
		seen[key] = true
		list = append(list, entry{key, n.Content[i+1]})
	}
	return list, nil
}
