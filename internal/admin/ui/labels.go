package ui

import (
	"slices"
	"strings"

	"fairway/internal/admin/ui/labelref"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
)

// labelsData is the reference of labels.
type labelsData struct {
	listing.List[api.Label]
	Asked string     // the label that a page leads here with; empty for none
	Meant *api.Label // what it is; nil where there is no such label
}

func readLabels(c *call) (any, error) {
	all := must(c.ask.Labels(c)).Items
	d := labelsData{Asked: c.q.Get("for")}
	if i := slices.IndexFunc(all, func(l api.Label) bool { return labelref.Means(d.Asked, l.Name) }); i >= 0 {
		d.Meant = &all[i]
	}
	d.List = listing.New(c.r.URL.Path, c.q, all, func(l api.Label, words []string, _ string) bool {
		return listing.Has(words, l.Name, l.Value, l.Meaning, l.Example)
	}, listing.Text("name", func(l api.Label) string { return l.Name }))
	return d, nil
}

// labelLink is the reference of a label; empty for one that is not Fairway's.
func labelLink(label string) string {
	if !strings.HasPrefix(strings.ToLower(label), "fairway.") || len(label) > maxLink {
		return ""
	}
	return listing.Link("/labels", map[string]string{"for": label})
}
