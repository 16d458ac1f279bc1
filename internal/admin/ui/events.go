package ui

import (
	"strings"

	"fairway/internal/api"
)

type eventsData struct {
	list[api.Event]
	Off      string // why there are none; empty when there could be
	Bad      int
	Standing int
	Channels []api.Channel
	Rules    []api.RuleState
	May      bool
}

const maxEvents = 1000 // that are looked at

func readEvents(c *call) (any, error) {
	d := eventsData{May: c.may(api.RoleOperator)}
	standing, err := c.ask.Events(c, api.EventQuery{Standing: true, Limit: maxEvents})
	d.Off = absent(err)
	found := standing.Items
	if d.Off == "" {
		d.Standing = len(must(standing, err).Items)
		if c.q.Get("only") != "standing" {
			found = must(c.ask.Events(c, api.EventQuery{Limit: maxEvents})).Items
		}
	}
	isBad := func(e api.Event) bool { return e.Severity == api.SeverityBad }
	d.Bad = count(found, isBad)
	d.list = newList(c, found, func(e api.Event, words []string, filter string) bool {
		return (filter != "bad" || isBad(e)) && has(words, e.Kind, e.Name, e.Subject, e.Text)
	})
	// Without channels or rules there is less to see.
	channels, _ := c.ask.Channels(c)
	rules, _ := c.ask.Rules(c)
	d.Channels, d.Rules = channels.Items, rules.Items
	return d, nil
}

// textAfterName is what follows the name of the subject in the text; empty for none.
func textAfterName(e api.Event) string {
	rest, ok := strings.CutPrefix(e.Text, e.Name)
	if ok && e.Name != "" && len(e.Name) < maxShown && (strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, " ")) {
		return rest
	}
	return ""
}

// subjectLink is the page of an event's subject; empty for none.
func subjectLink(subject string) string {
	kind, id, _ := strings.Cut(subject, "/")
	if page := map[string]string{"service": "services", "node": "nodes", "document": "fleet"}[kind]; page != "" {
		return link(page, id)
	}
	return ""
}

func ruleHealth(r api.RuleState) string {
	switch {
	case !r.Fired.IsZero():
		return broken
	case !r.Since.IsZero():
		return waiting
	case r.Subject == "":
		return idle
	}
	return fine
}
