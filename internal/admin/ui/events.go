package ui

import (
	"slices"
	"strings"
	"time"

	"fairway/internal/admin/ui/happened"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
)

type eventsData struct {
	listing.List[api.Event]
	Off      string // why there are none; empty when there could be
	Bad      int
	Standing int
	Kinds    []string // that there are
	Channels []api.Channel
	Rules    []happened.RuleLine
	May      bool
}

// spanOf is a time that events can be narrowed down to; zero for another name.
func spanOf(name string) time.Duration {
	return map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}[name]
}

const maxEvents = 2000 // as many as are kept

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
	for _, e := range found {
		thing, _, _ := strings.Cut(e.Kind, ".")
		d.Kinds = append(d.Kinds, thing+".", e.Kind)
	}
	kind, severity, since := c.q.Get("kind"), c.q.Get("severity"), time.Time{}
	if kind != "" {
		d.Kinds = append(d.Kinds, kind)
	}
	slices.Sort(d.Kinds)
	d.Kinds = slices.Compact(d.Kinds)
	if span := spanOf(c.q.Get("since")); span > 0 {
		since = c.now.Add(-span)
	}
	isBad := func(e api.Event) bool { return e.Severity == api.SeverityBad }
	d.Bad = count(found, isBad)
	d.List = listing.New(c.r.URL.Path, c.q, found, func(e api.Event, words []string, filter string) bool {
		if !strings.HasPrefix(e.Kind, kind) || severity != "" && e.Severity != severity || e.At.Before(since) {
			return false
		}
		return (filter != "bad" || isBad(e)) && listing.Has(words, e.Kind, e.Name, e.Subject, e.Text)
	})
	// Without channels or rules there is less to see.
	channels, _ := c.ask.Channels(c)
	rules, _ := c.ask.Rules(c)
	d.Channels, d.Rules = channels.Items, happened.Rules(rules.Items)
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
