package ui

import (
	"strings"

	"fairway/internal/api"
)

// searchData is what was found for the words.
type searchData struct {
	Words string
	Items []found
}

// found is something with the page that shows it.
type found struct {
	api.Found
	Link string
}

const (
	maxFound = 50  // results of the page
	maxWords = 200 // bytes of what is searched for
)

// readSearch finds pages by their titles, and everything else by asking.
func readSearch(c *call) (any, error) {
	d := searchData{Words: strings.TrimSpace(c.q.Get("q"))}
	if d.Words == "" || len(d.Words) > maxWords {
		return d, nil
	}
	for _, p := range pages() {
		if (p.key != "" || p.name == "labels") && (p.role == "" || c.may(p.role)) && strings.Contains(strings.ToLower(p.title), strings.ToLower(d.Words)) {
			d.Items = append(d.Items, found{api.Found{Kind: "page", Name: p.title}, strings.TrimSuffix(p.path, "{$}")})
		}
	}
	for _, f := range must(c.ask.Search(c, d.Words, maxFound)).Items {
		d.Items = append(d.Items, found{f, foundLink(f)})
	}
	return d, nil
}

// foundLink is the page of something that was found.
func foundLink(f api.Found) string {
	switch f.Kind {
	case api.FoundService:
		return link("services", f.ID)
	case api.FoundRoute:
		return link("routes", f.ID)
	case api.FoundInstance:
		return link("instances", f.ID)
	case api.FoundNode:
		return link("nodes", f.ID)
	case api.FoundDocument:
		return link("fleet", f.ID)
	case api.FoundEntry:
		return link("history", f.ID)
	}
	return "/"
}
