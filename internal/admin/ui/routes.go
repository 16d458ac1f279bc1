package ui

import (
	"errors"
	"net/url"
	"strings"

	"fairway/internal/api"
)

// routesData is the routes with the box that explains a request.
type routesData struct {
	list[*routeOf]
	Asked   asked
	Answer  *explained
	Refused int
}

// asked is what was typed into the box.
type asked struct {
	Method, URL, Client, Headers string
	// Wrong says what is wrong with it; empty when nothing is.
	Wrong string
}

// explained is an answer with what pages make of it.
type explained struct {
	api.Explanation
	// Health is how it ends, one of the health constants.
	Health string
	// Blame are the labels that made the winner.
	Blame []label
	Marks []mark
	// Fits are the losers that would take the request too, Near those of the
	// same host; Far counts the rest.
	Fits, Near []api.Loser
	Far        int
}

type label struct{ Key, Value string }

func (p *Pages) routes(c *call) (any, error) {
	w, err := readWorld(c)
	if err != nil {
		return nil, err
	}
	d := routesData{Asked: asked{Method: c.q.Get("method"), URL: strings.TrimSpace(c.q.Get("url")), Client: strings.TrimSpace(c.q.Get("client")), Headers: c.q.Get("headers")}}
	if d.Asked.URL != "" {
		if d.Answer, err = explain(c, &d.Asked); err != nil {
			return nil, err
		}
	}
	var all []*routeOf
	for _, s := range w.services {
		for _, r := range s.Routes {
			all = append(all, r)
			if r.Refused != "" {
				d.Refused++
			}
		}
	}
	d.list = newList(c, all, func(r *routeOf, words []string, filter string) bool {
		if filter == "trouble" && r.Health == fine || filter == "refused" && r.Refused == "" {
			return false
		}
		texts := append([]string{r.ID, r.Service, r.Source, r.Refused}, r.Filters...)
		for _, m := range r.Matches {
			texts = append(texts, m.Text)
		}
		return has(words, texts...)
	})
	return d, nil
}

// explain asks what would become of a request. What is wrong with the question
// stands in it afterwards.
func explain(c *call, a *asked) (*explained, error) {
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
	if refused, ok := errors.AsType[*api.Error](err); ok {
		a.Wrong = refused.Detail
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return newExplained(found), nil
}

func newExplained(found api.Explanation) *explained {
	e := &explained{Explanation: found, Far: found.Omitted, Health: map[string]string{
		api.OutcomeRouted: fine, api.OutcomeAnswered: fine, api.OutcomeNoRoute: faulty, api.OutcomeBadRequest: faulty,
	}[found.Outcome]}
	if e.Health == "" {
		e.Health = broken
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
	if found.Winner == nil {
		return e
	}
	for _, key := range sortedKeys(found.Winner.Route.Labels) {
		e.Blame = append(e.Blame, label{key, found.Winner.Route.Labels[key]})
	}
	for _, end := range found.Winner.Route.Endpoints {
		e.Marks = append(e.Marks, markOf(found.Winner.Route.Backend, end))
	}
	return e
}

// Share is the link to the same question.
func (a asked) Share() string {
	v := url.Values{"url": {a.URL}}
	for name, value := range map[string]string{"method": a.Method, "client": a.Client, "headers": a.Headers} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return "/routes?" + v.Encode()
}
