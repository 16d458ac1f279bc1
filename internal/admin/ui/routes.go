package ui

import (
	"strings"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
)

// routesData is the routes with the box that explains a request.
type routesData struct {
	listing.List[*routeOf]
	Asked   asked
	Answer  *explained
	Refused int
}

type asked struct {
	Method, URL, Client, Headers string
	Wrong                        string // what is said against it
}

type explained struct {
	api.Explanation
	Health string      // how it ends
	Marks  []draw.Mark // of the winner's endpoints
	// Fits are losers that would take it too, Near those of the host; Far counts the rest.
	Fits, Near []api.Loser
	Far        int
}

func readRoutes(c *call) (any, error) {
	w := readWorld(c)
	d := routesData{Asked: asked{Method: c.q.Get("method"), URL: strings.TrimSpace(c.q.Get("url")), Client: strings.TrimSpace(c.q.Get("client")), Headers: c.q.Get("headers")}}
	if d.Asked.URL != "" {
		d.Answer = explain(c, &d.Asked)
	}
	var all []*routeOf
	for _, s := range w.services {
		all = append(all, s.Routes...)
	}
	d.Refused = count(all, func(r *routeOf) bool { return r.Refused != "" })
	d.List = listing.New(c.r.URL.Path, c.q, all, func(r *routeOf, words []string, filter string) bool {
		if filter == "trouble" && !isTrouble(r.Health) || filter == "refused" && r.Refused == "" {
			return false
		}
		texts := append([]string{r.ID, r.Service, r.Source, r.Condition.Why()}, r.Filters...)
		for _, m := range r.Matches {
			texts = append(texts, m.Text)
		}
		return listing.Has(words, texts...)
	},
		listing.Text("host", (*routeOf).Address),
		listing.Most("state", func(r *routeOf) int { return signs.Badness(r.Health) }),
		listing.Most("endpoints", func(r *routeOf) int { return len(r.Marks) }),
		listing.Most("rate", func(r *routeOf) float64 { return w.traffic[r.ID].Rate }),
		listing.Most("p95", func(r *routeOf) float64 { return w.traffic[r.ID].P95 }),
		listing.Most("used", func(r *routeOf) int64 { return r.LastRequest.Unix() }),
		listing.Text("service", func(r *routeOf) string { return r.Name }))
	return d, nil
}

// explain asks what would become of a request, and notes what is wrong with it.
func explain(c *call, a *asked) *explained {
	q := api.ExplainRequest{Method: strings.ToUpper(strings.TrimSpace(a.Method)), URL: a.URL, Client: a.Client}
	if !strings.Contains(q.URL, "://") {
		q.URL = "http://" + q.URL
	}
	for line := range strings.Lines(a.Headers) {
		if line = strings.TrimSpace(line); line != "" {
			q.Headers = append(q.Headers, line)
		}
	}
	found, err := c.ask.Explain(c, q)
	if a.Wrong = refusal(err); err != nil {
		return nil
	}
	e := &explained{Explanation: found, Health: signs.Word(found.Outcome), Far: found.Omitted}
	if e.Health == signs.Idle {
		e.Health = signs.Broken
	}
	for _, l := range found.Losers {
		switch l.Part {
		case "":
			e.Fits = append(e.Fits, l)
		case "host":
			e.Far++
		default:
			e.Near = append(e.Near, l)
		}
	}
	if found.Winner != nil {
		e.Marks = marksOf(found.Winner.Route)
	}
	return e
}
