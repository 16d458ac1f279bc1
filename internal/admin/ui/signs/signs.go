// Package signs are the signs of the pages for how something is doing.
package signs

import (
	"slices"

	"fairway/internal/api"
)

// The signs, from the best to the worst. Each has a colour and a shape.
const (
	Fine    = "fine"
	Idle    = "idle"    // exists, and is not routed
	Waiting = "waiting" // not yet, or not any more: starts, drains, is held
	Faulty  = "faulty"  // serves, but something is wrong
	Broken  = "broken"  // does not serve
)

// Of is the sign of a condition.
func Of(c api.Condition) string {
	switch c.State {
	case api.StateHealthy:
		return Fine
	case api.StateUnknown, api.StateHeld:
		return Waiting
	case api.StateDegraded:
		return Faulty
	case api.StateRefused, api.StateDown:
		return Broken
	}
	return Idle
}

// Badness is how bad a sign is.
func Badness(sign string) int {
	return slices.Index([]string{Fine, Idle, Waiting, Faulty, Broken}, sign)
}

// Worse returns the worse of two signs.
func Worse(a, b string) string {
	if Badness(a) > Badness(b) {
		return a
	}
	return b
}

// Word is the sign of a word of the API: a state, a severity, an outcome.
func Word(word string) string {
	switch word {
	case "ready", "applied", "already", api.FleetCurrent, api.SeverityGood, api.OutcomeRouted, api.OutcomeAnswered:
		return Fine
	case "starting", "leaving", "paused", "applying", "returning", api.SeverityWarning, api.FleetOther, api.FleetPending, api.FleetChanging:
		return Waiting
	case "returned", "absent", api.FleetEdited, api.OutcomeNoRoute, api.OutcomeBadRequest:
		return Faulty
	case "unhealthy", "refused", "unknown", "lost", api.FleetUnreachable, api.SeverityBad:
		return Broken
	}
	return Idle
}
