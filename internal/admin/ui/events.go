package ui

import (
	"errors"
	"net/http"
	"strings"

	"fairway/internal/api"
)

// eventsData is what happened, the newest first.
type eventsData struct {
	list[event]
	// Off says why there are none; empty when there could be.
	Off      string
	Bad      int
	Standing int
	Channels []api.Channel
	Rules    []rule
	May      bool
}

// event is an event with its colour and what it leads to.
type event struct {
	api.Event
	Health string
	Link   string // page of its subject; empty for none
	Rest   string // of a text that begins with the name: what follows it
}

// rule is how a rule stands, with its colour.
type rule struct {
	api.RuleState
	Health string
}

// maxEvents is how many events are looked at.
const maxEvents = 1000

func (p *Pages) events(c *call) (any, error) {
	d := eventsData{May: c.may(api.RoleOperator)}
	standing, err := c.ask.Events(c, api.EventQuery{Standing: true, Limit: maxEvents})
	if refused, ok := errors.AsType[*api.Error](err); ok && refused.Status == http.StatusServiceUnavailable {
		d.Off = refused.Detail
		d.list = newList(c, []event(nil), func(event, []string, string) bool { return true })
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	q := api.EventQuery{Limit: maxEvents}
	if c.q.Get("only") == "standing" {
		q.Standing = true
	}
	found, err := c.ask.Events(c, q)
	if err != nil {
		return nil, err
	}
	d.Standing = len(standing.Items)
	all := make([]event, len(found.Items))
	for i, e := range found.Items {
		all[i] = newEvent(e)
		if e.Severity == api.SeverityBad {
			d.Bad++
		}
	}
	d.list = newList(c, all, func(e event, words []string, filter string) bool {
		return (filter != "bad" || e.Severity == api.SeverityBad) && has(words, e.Kind, e.Name, e.Subject, e.Text)
	})
	if channels, err := c.ask.Channels(c); err == nil {
		d.Channels = channels.Items
	}
	if rules, err := c.ask.Rules(c); err == nil {
		for _, r := range rules.Items {
			d.Rules = append(d.Rules, newRule(r))
		}
	}
	return d, nil
}

func newEvent(e api.Event) event {
	out := event{Event: e, Health: map[string]string{api.SeverityGood: fine, api.SeverityBad: broken}[e.Severity]}
	if out.Health == "" {
		out.Health = idle
	}
	if rest, ok := strings.CutPrefix(e.Text, e.Name); ok && e.Name != "" && len(e.Name) < maxShown && (strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, " ")) {
		out.Rest = rest
	}
	kind, id, _ := strings.Cut(e.Subject, "/")
	switch kind {
	case "service":
		out.Link = link("services", id)
	case "node":
		out.Link = link("nodes", id)
	case "document":
		out.Link = link("fleet", id)
	}
	return out
}

func newRule(r api.RuleState) rule {
	out := rule{RuleState: r, Health: fine}
	switch {
	case !r.Fired.IsZero():
		out.Health = broken
	case !r.Since.IsZero():
		out.Health = waiting
	case r.Subject == "":
		out.Health = idle
	}
	return out
}
