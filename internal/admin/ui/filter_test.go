package ui

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
)

// The history is narrowed down where it is kept, so that the filter sees all of it, and
// what leads on keeps the filter.
func TestHistoryFilters(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	entry := a["/v1/history"].(*api.List[api.Entry]).Items[0]
	var many []api.Entry
	for n := range uint64(perHistory) {
		entry.Number = 100 - n
		many = append(many, entry)
	}
	a["/v1/history"] = &api.List[api.Entry]{Items: many}
	for query, want := range map[string]string{
		"":                          "limit=50&significant=true",
		"only=all":                  "limit=50",
		"only=routes":               "limit=50&routes=true",
		"only=operator":             "limit=50&operator=%2A",
		"by=anna&only=operator":     "limit=50&operator=anna",
		"q=two+words&service=a&x=y": "limit=50&q=two+words&service=a",
		"before=60&only=routes":     "before=60&limit=50&routes=true",
	} {
		var asked []string
		body := get(t, p, roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/v1/history" {
				asked = append(asked, r.URL.RawQuery)
			}
			return a.RoundTrip(r)
		}), "/history?"+query).Body.String()
		if !slices.Contains(asked, want) {
			t.Errorf("?%s asks for %q, want %s", query, asked, want)
		}
		if strings.Contains(query, "only=routes") && !strings.Contains(body, `href="/history?before=51&amp;only=routes"`) {
			t.Errorf("?%s leads on to other entries", query)
		}
	}
}

// Events are narrowed down by kind, severity and time, and the choice stays.
func TestEventFilters(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/events"] = &api.List[api.Event]{Items: []api.Event{
		{ID: "1", Kind: "node.down", Severity: api.SeverityBad, Text: "first", At: now().Add(-time.Minute)},
		{ID: "2", Kind: "node.up", Severity: api.SeverityGood, Text: "second", At: now().Add(-2 * time.Hour)},
		{ID: "3", Kind: "service.added", Severity: api.SeverityNeutral, Text: "third", At: now().Add(-30 * time.Hour)},
	}}
	for query, want := range map[string]string{
		"": "first second third", "kind=node.": "first second", "kind=node.up": "second", "severity=bad": "first", "since=1h": "first", "since=24h": "first second",
		"since=7d&kind=service.": "third", "since=else": "first second third", "kind=none": "", "q=node&severity=good": "second",
	} {
		body := get(t, p, a, "/events?"+query).Body.String()
		var got []string
		for _, word := range []string{"first", "second", "third"} {
			if strings.Contains(body, "<p>"+word) {
				got = append(got, word)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("?%s shows %q, want %q", query, got, want)
		}
		if name, value, ok := strings.Cut(query, "="); ok && !strings.Contains(value, "=") && value != "else" && !strings.Contains(body, ` selected>`) {
			t.Errorf("?%s: no choice of %s is shown", query, name)
		}
	}
}

// The audit is searched, and says what was done where the entry itself does not.
func TestAudit(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/audit"] = &api.List[api.AuditEntry]{Items: []api.AuditEntry{
		{At: now(), Who: "ann", Operation: "POST /v1/fleet/documents/web/rollout", Status: 200},
		{At: now().Add(-time.Hour), Who: "bob", Operation: "POST /v1/tokens", Status: 403, Text: "needs admin"},
	}}
	for query, want := range map[string][2]bool{"": {true, true}, "q=rollout": {true, false}, "q=BOB": {false, true}, "only=refused": {false, true}, "q=none": {false, false}} {
		body := get(t, p, a, "/access?"+query).Body.String()
		if got := [2]bool{strings.Contains(body, `<span class="mono">POST /v1/fleet/documents/web/rollout`), strings.Contains(body, "needs admin")}; got != want {
			t.Errorf("?%s shows %v, want %v", query, got, want)
		}
	}
}
