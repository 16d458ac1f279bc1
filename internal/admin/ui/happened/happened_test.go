package happened

import (
	"fmt"
	"testing"
	"time"

	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
)

func now() time.Time { return time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC) }

// What was reported of a service, its routes and its instances stands among what the
// history has of it.
func TestTimeline(t *testing.T) {
	s := api.Service{ID: "shop@docker", Instances: []api.Instance{{Name: "shop-1", Source: "docker"}}, Routes: []string{"shop@docker/api"}}
	entries := []api.Entry{{Number: 7, Time: now().Add(-2 * time.Minute), Command: "drain"}}
	event := func(subject, severity, text string, ago time.Duration) api.Event {
		return api.Event{Subject: subject, Severity: severity, Text: text, At: now().Add(-ago)}
	}
	events := []api.Event{
		event("service/shop@docker", api.SeverityBad, "shop is down", time.Minute),
		event("service/cart@docker", api.SeverityBad, "cart is down", time.Minute),
		event("route/shop@docker/api", api.SeverityBad, "its route is down", 3*time.Minute),
		event("instance/shop-1@docker", api.SeverityGood, "shop-1 is healthy", 5*time.Minute),
	}
	got := ""
	for _, one := range Timeline(s, entries, events) {
		got += fmt.Sprint(one.Entry, one.Text, " ", one.Health, "; ")
	}
	if want := "0shop is down broken; 7 fine; 0its route is down broken; 0shop-1 is healthy fine; "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for range 100 {
		events = append(events, events[0])
	}
	if n := len(Timeline(s, nil, events)); n != MaxSteps {
		t.Errorf("%d steps", n)
	}
}

// Each rule stands once, what it fired for first, however much it watches.
func TestRuleLines(t *testing.T) {
	var states []api.RuleState
	for i := range 500 {
		s := api.RuleState{Rule: []string{"calm", "loud"}[i%2], Subject: fmt.Sprint(i), Name: fmt.Sprint(i)}
		if s.Rule == "loud" && i < 20 {
			s.Since = now()
		}
		if i == 301 {
			s.Fired = now()
		}
		states = append(states, s)
	}
	lines := Rules(append(states, api.RuleState{Rule: "nothing yet"}))
	if len(lines) != 3 || lines[0].Rule != "loud" || lines[0].Health != signs.Broken || lines[0].Subjects != 250 || lines[2].Health != signs.Idle || lines[2].Subjects != 0 {
		t.Fatalf("%+v", lines)
	}
	if l := lines[0]; len(l.Active) != maxActive || l.More != 6 || l.Active[0].Name != "301" || len(lines[1].Active) != 0 {
		t.Errorf("%+v", lines)
	}
}
