package yamlnode

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Entry is one key of a mapping with its value, aliases followed.
type Entry struct{ Key, Value *yaml.Node }

// Merge keys may refer to each other this deep, and to this many mappings each:
// more is an attempt to keep the reader busy.
const (
	maxMergeDepth = 4
	maxMergeWidth = 16
)

// Entries returns the entries of a mapping, those of merge keys last and only
// where the mapping has no such key itself. Anything else, nil included, has none.
func Entries(n *yaml.Node) []Entry { return merged(n, maxMergeDepth) }

func merged(n *yaml.Node, depth int) []Entry {
	if n == nil || depth == 0 {
		return nil
	}
	n = Resolve(n)
	if n.Kind != yaml.MappingNode {
		return nil
	}
	var own, inherited []Entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], Resolve(n.Content[i+1])
		switch {
		case key.Value != "<<":
			own = append(own, Entry{key, value})
		case value.Kind == yaml.SequenceNode:
			for _, item := range value.Content[:min(len(value.Content), maxMergeWidth)] {
				inherited = append(inherited, merged(item, depth-1)...)
			}
		default:
			inherited = append(inherited, merged(value, depth-1)...)
		}
	}
	for _, e := range inherited {
		if !slices.ContainsFunc(own, func(o Entry) bool { return o.Key.Value == e.Key.Value }) {
			own = append(own, e)
		}
	}
	return own
}

// Get returns the value at the end of a path of keys, nil when there is none.
func Get(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		entries := Entries(n)
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Key.Value == key })
		if i < 0 {
			return nil
		}
		n = entries[i].Value
	}
	return n
}

// List returns the items of a list, aliases followed; none for anything else.
func List(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	items := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		items[i] = Resolve(item)
	}
	return items
}

// Text returns the text of a scalar, and "" for null and anything else.
func Text(n *yaml.Node) string {
	text, _ := Scalar(n)
	return text
}

// Resolve follows an alias.
func Resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// Reason takes an error of the YAML library apart into line, zero for none, and reason.
func Reason(err error) (line int, reason string) {
	return CutLine(strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
}

// CutLine takes "line 3: " off the beginning of a text.
func CutLine(text string) (line int, rest string) {
	after, ok := strings.CutPrefix(text, "line ")
	number, rest, found := strings.Cut(after, ": ")
	n, err := strconv.Atoi(number)
	if !ok || !found || err != nil {
		return 0, text
	}
	return n, rest
}
