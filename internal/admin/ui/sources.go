package ui

import (
	"fairway/internal/admin/ui/listing"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
)

// source is a source with what is known by it.
type source struct {
	api.Source
	Health                     string
	Services, Instances, Nodes int
}

type sourcesData struct {
	listing.List[source]
	Troubled int
}

func readSources(c *call) (any, error) {
	instances, nodes := map[string]int{}, map[string]int{}
	for _, s := range must(c.ask.Services(c, api.Query{})).Items {
		for _, in := range s.Instances {
			instances[in.Source]++
		}
	}
	for _, n := range must(c.ask.Nodes(c, api.Query{})).Items {
		nodes[n.Source]++
	}
	var all []source
	for _, s := range must(c.ask.Sources(c)).Items {
		all = append(all, source{Source: s, Health: sourceHealth(s), Services: s.Services, Instances: instances[s.Name], Nodes: nodes[s.Name]})
	}
	d := sourcesData{Troubled: count(all, source.troubled)}
	d.List = listing.New(c.r.URL.Path, c.q, all, func(s source, words []string, filter string) bool {
		return (filter != "trouble" || s.troubled()) && listing.Has(words, s.Name, s.State, s.Condition.Why())
	},
		listing.Text("name", func(s source) string { return s.Name }),
		listing.Most("state", func(s source) int { return signs.Badness(s.Health) }),
		listing.Most("services", func(s source) int { return s.Services }),
		listing.By("answer", func(s source) int64 { return s.LastSuccess.Unix() }))
	return d, nil
}

func (s source) troubled() bool { return s.Health != signs.Fine }
