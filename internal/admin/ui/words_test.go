package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
)

// Pages use the words of the field.
func TestWords(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	for name, path := range paths(a) {
		body := get(t, p, a, path).Body.String()
		for _, word := range []string{"Not for you", "for good", "answers by itself", "−1 for none", "in step", "Slowest 5", ">Takes<", "On the way", ">Bad <", "needs a look", "Make it"} {
			if strings.Contains(body, word) {
				t.Errorf("%s says %q", name, word)
			}
		}
	}
}

// What was reported of a service, its routes and its instances stands among what the
// history has of it.
func TestTimeline(t *testing.T) {
	s := &service{
		Service: api.Service{ID: "shop@docker", Instances: []api.Instance{{Name: "shop-1", Source: "docker"}}},
		Routes:  []*routeOf{{Route: api.Route{ID: "shop@docker/api"}}},
	}
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
	for _, one := range timeline([]step{{Entry: 7, Time: now().Add(-2 * time.Minute), Health: fine}}, events, s) {
		got += fmt.Sprint(one.Entry, one.Text, " ", one.Health, "; ")
	}
	if want := "0shop is down broken; 7 fine; 0its route is down broken; 0shop-1 is healthy fine; "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for range 100 {
		events = append(events, events[0])
	}
	if n := len(timeline(nil, events, s)); n != maxSteps {
		t.Errorf("%d steps", n)
	}
}

// Colours lie behind the field, in an element that is always there, so that an update of
// the page never takes the field away.
func TestEditorsHaveRoomForColours(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	for _, name := range []string{"plan", "document"} {
		if body := get(t, p, a, paths(a)[name]).Body.String(); !strings.Contains(body, `<pre class="paint" aria-hidden="true"></pre><textarea`) {
			t.Errorf("%s: no room behind the text", name)
		}
	}
}

// The two things that can be planned have a form each, and each sends what is its own.
func TestPlanForms(t *testing.T) {
	p := newPages(t)
	body := get(t, p, everything(plainText), "/plan").Body.String()
	forms := strings.Split(body, `<form action="/plan"`)
	if len(forms) != 3 {
		t.Fatalf("%d forms", len(forms)-1)
	}
	for i, fields := range [][2]string{{`name="text"`, `name="subject"`}, {`name="subject"`, `name="text"`}} {
		form, _, _ := strings.Cut(forms[i+1], "</form>")
		if !strings.Contains(form, fields[0]) || strings.Contains(form, fields[1]) {
			t.Errorf("form %d: %s", i, form)
		}
	}
}
