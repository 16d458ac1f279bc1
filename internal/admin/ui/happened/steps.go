// Package happened puts together what happened: the steps of a service, and what rules
// fired for.
package happened

import (
	"slices"
	"time"

	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
)

// Step is what happened to a service at one time.
type Step struct {
	Entry             uint64
	Time              time.Time
	Operator, Command string
	Seen              []api.Seen // the first
	More              int
	Text              string // of an event
	Health            string
}

// Timeline is what happened to a service, the newest first: the entries that concern it,
// and what was reported of it, its routes and its instances. It has at most MaxSteps.
func Timeline(s api.Service, entries []api.Entry, events []api.Event) []Step {
	all := steps(entries, s.ID)
	subjects := map[string]bool{"service/" + s.ID: true}
	for _, r := range s.Routes {
		subjects["route/"+r] = true
	}
	for _, in := range s.Instances {
		subjects["instance/"+in.Name+"@"+in.Source] = true
	}
	for _, e := range events {
		if subjects[e.Subject] {
			all = append(all, Step{Time: e.At, Text: e.Text, Health: signs.Word(e.Severity)})
		}
	}
	slices.SortStableFunc(all, func(a, b Step) int { return b.Time.Compare(a.Time) })
	return all[:min(MaxSteps, len(all))]
}

// MaxSteps is how many steps a timeline has at most.
const MaxSteps = 40

const maxSeen = 5 // things of one step

// steps are what happened to a service, from the entries that concern it.
func steps(entries []api.Entry, service string) []Step {
	var all []Step
	for _, e := range entries {
		s := Step{Entry: e.Number, Time: e.Time, Operator: e.Operator, Command: e.Command, Health: signs.Fine}
		for _, seen := range e.Seen {
			if seen.Service != service {
				continue
			}
			s.Health = signs.Worse(s.Health, seenHealth(seen))
			if len(s.Seen) < maxSeen {
				s.Seen = append(s.Seen, seen)
			} else {
				s.More++
			}
		}
		if len(s.Seen) > 0 || s.Command != "" {
			all = append(all, s)
		}
	}
	return all
}

// seenHealth is the colour of a thing that happened.
func seenHealth(s api.Seen) string {
	switch s.Kind {
	case "instance-state":
		return signs.Word(s.To)
	case "instance-removed", "service-removed":
		return signs.Idle
	case "instance-added", "service-added":
		return signs.Waiting
	}
	return signs.Fine
}
