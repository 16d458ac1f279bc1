package ui

import (
	"maps"
	"slices"

	"fairway/internal/api"
)

// problemsData is the problems by the service that has them.
type problemsData struct {
	list[problemsOf]
	Count int
	Codes []codeCount
}

// problemsOf are the problems of one service.
type problemsOf struct {
	Service  string // ID
	Name     string
	Known    bool // the service still exists
	Source   string
	Problems []api.Problem
}

type codeCount struct {
	Code  string
	Count int
}

func (p *Pages) problems(c *call) (any, error) {
	w, err := readWorld(c)
	if err != nil {
		return nil, err
	}
	d := problemsData{Count: len(w.problems)}
	counts := map[string]int{}
	var groups []problemsOf
	for _, problem := range w.problems { // sorted by service
		counts[problem.Code]++
		if n := len(groups); n == 0 || groups[n-1].Service != problem.Service {
			g := problemsOf{Service: problem.Service, Name: problem.Service, Source: problem.Source}
			if s := w.byID[problem.Service]; s != nil {
				g.Name, g.Known = s.Name, true
			}
			groups = append(groups, g)
		}
		g := &groups[len(groups)-1]
		g.Problems = append(g.Problems, problem)
	}
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		d.Codes = append(d.Codes, codeCount{code, counts[code]})
	}
	d.list = newList(c, groups, func(g problemsOf, words []string, filter string) bool {
		return slices.ContainsFunc(g.Problems, func(p api.Problem) bool {
			return (filter == "" || p.Code == filter) && has(words, g.Name, p.Service, p.Instance, p.Route, p.Label, p.Text, p.Source)
		})
	})
	return d, nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
