// Package meant names the labels of Fairway that say what those of other proxies say.
package meant

import (
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
)

// meant are labels of Caddy with the label of Fairway that says the same.
var meant = []struct{ theirs, own string }{
	{"caddy", "host"},
	{"caddy.reverse_proxy", "port"},
	{"caddy.basic_auth", "basic-auth"},
	{"caddy.basicauth", "basic-auth"},
	{"caddy.encode", "compress"},
}

// Of names the labels of Fairway that say what labels of Caddy say. It is empty where there
// are none.
func Of(labels map[string]string) string {
	// of is a label by its form in the list above.
	of := map[string]string{}
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(labels))) {
		parts := strings.Split(strings.ToLower(k), ".")
		if strings.HasPrefix(parts[0], "caddy_") {
			parts[0] = "caddy" // of several sites
		}
		of[strings.Join(parts, ".")] = k
	}
	var list []string
	for _, m := range meant {
		if k, ok := of[m.theirs]; ok && len(list) < 4 {
			list = append(list, catalog.LabelPrefix+m.own+" for "+chars.Printable(k))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "labels of other proxies are not read; write " + strings.Join(list, ", ")
}
