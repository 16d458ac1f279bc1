package api

import (
	"context"
	"time"
)

// The states of a condition, from the best to the worst.
const (
	StateHealthy  = "healthy"  // it was seen to work, and nothing says otherwise
	StateUnknown  = "unknown"  // nothing was observed of it yet
	StateHeld     = "held"     // a rollback or pin decides, not its labels
	StateDegraded = "degraded" // part of it fails
	StateRefused  = "refused"  // it may not be served as its labels ask
	StateDown     = "down"     // nothing of it works
)

// States returns the states of a condition, from the best to the worst.
func States() []string {
	return []string{StateHealthy, StateUnknown, StateHeld, StateDegraded, StateRefused, StateDown}
}

// Condition says how something is doing at the moment.
type Condition struct {
	// State is StateHealthy, StateUnknown, StateHeld, StateDegraded, StateRefused or
	// StateDown; left out for what is not judged: a service that asks for no route.
	State string `json:"state,omitempty"`
	// Reasons is why it is not healthy, the worst first; never null.
	Reasons []Reason `json:"reasons"`
}

// Why is the first of the reasons, in one sentence; empty for none.
func (c Condition) Why() string {
	if len(c.Reasons) == 0 {
		return ""
	}
	return c.Reasons[0].Text
}

// Reason is why something is in a state.
type Reason struct {
	// Code is stable; docs/api.md lists them. More may be added.
	Code string `json:"code"`
	// Text says in one sentence what was observed.
	Text string `json:"text"`
	// Hint says what to do, where that is known.
	Hint string `json:"hint,omitempty"`
	// Since is when it was first observed without a break.
	Since time.Time `json:"since,omitzero"`
}

// Status says what is wrong now.
type Status struct {
	At time.Time `json:"at"`
	// State is the worst of all; see Condition.
	State string `json:"state"`
	// Findings are what is wrong now, the worst first; never null.
	Findings []Finding `json:"findings"`
	// Routes counts the routes by state.
	Routes map[string]int `json:"routes"`
}

// Finding is one thing that is wrong now.
type Finding struct {
	// Kind is "table", "command", "source", "service", "route" or "name".
	Kind string `json:"kind"`
	// Subject is the ID or name of the thing, or the command; Service the ID of its service.
	Subject string `json:"subject"`
	Service string `json:"service,omitempty"`
	State   string `json:"state"`
	Reason
}

// Status says what is wrong now, and how everything is doing.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}
