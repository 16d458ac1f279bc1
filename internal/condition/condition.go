// Package condition says how routes, services, sources and the whole are doing. It is
// judged here, once, from what was observed, and shown alike by every command, page,
// operation, metric and event.
//
// Nothing is healthy that was not seen to work: an endpoint is up when the engine picks
// it and the newest connection to it was accepted, or its health check passes.
package condition

import (
	"maps"
	"slices"
	"time"

	"fairway/internal/route"
)

// State is how something is doing. It is empty for what is not judged: a service that
// asks for no route.
type State string

// The states, from the best to the worst.
const (
	Healthy  State = "healthy"  // it was seen to work, and nothing says otherwise
	Unknown  State = "unknown"  // nothing was observed of it yet
	Held     State = "held"     // a rollback or pin decides, not its labels
	Degraded State = "degraded" // part of it fails
	Refused  State = "refused"  // it may not be served as its labels ask
	Down     State = "down"     // nothing of it works
)

// states are all states, the best first.
var states = []State{Healthy, Unknown, Held, Degraded, Refused, Down}

// rank is the place of a state among all; that of what is not judged is before the best.
func (s State) rank() int { return slices.Index(states, s) }

// Wrong is true for a state that is one of what is wrong now.
func (s State) Wrong() bool { return s.rank() >= Held.rank() }

// Reason is why something is in a state that is not Healthy.
type Reason struct {
	// Code is stable and classifies it; see the constants.
	Code string
	// Text says in one sentence what was observed; Hint what to do, a command or label
	// to type where there is one, or is empty.
	Text, Hint string
	// Since is when it was first observed without a break.
	Since time.Time
}

// The codes of reasons.
const (
	CodeConnect     = "connect"      // a connection to an endpoint fails
	CodeCheck       = "check"        // the health check of an endpoint fails
	CodeEjected     = "ejected"      // an endpoint is left out after failed requests
	CodeErrors      = "errors"       // requests are answered with errors
	CodeUnavailable = "unavailable"  // no endpoint takes requests
	CodeInstance    = "instance"     // an instance does not run, or Docker's check of it fails
	CodeRefused     = "refused"      // labels or a route are refused
	CodeLastGood    = "last-good"    // labels are refused, and their last good form is served
	CodeHold        = "hold"         // a rollback or pin is in force
	CodeMaintenance = "maintenance"  // a service is in maintenance
	CodeNotServed   = "not-served"   // a rollback or pin keeps it out
	CodeStale       = "stale"        // a source does not answer any more
	CodeNoAnswer    = "no-answer"    // a source has never answered
	CodePending     = "pending"      // the newest table is not live
	CodeCertificate = "certificate"  // no certificate covers a host that is served over HTTPS alone, or it has expired
	CodeUnobserved  = "not-observed" // nothing is known yet

	CodeNameTaken     = "name-taken"     // a label asks for a name that another has, in no zone, or reserved
	CodeNameLoop      = "dns-loop"       // a resolver sends questions back
	CodeForwarderAway = "forwarder-away" // no resolver of a domain answers
)

// Condition is a state with its reasons, the worst first. A healthy one has none.
type Condition struct {
	State   State
	Reasons []Reason

	worst State // of the reasons so far, to keep them in order
}

// add makes it at least as bad as state, for a reason.
func (c *Condition) add(state State, r Reason) {
	if state.rank() > c.worst.rank() {
		c.Reasons = slices.Insert(c.Reasons, 0, r)
		c.worst = state
	} else {
		c.Reasons = append(c.Reasons, r)
	}
	if state.rank() > c.State.rank() {
		c.State = state
	}
}

// Endpoint is how an endpoint is doing.
type Endpoint struct {
	// Up is true while it takes requests and was seen to accept a connection.
	Up bool
	// Reason is why it is not up; its Code is empty for one that is.
	Reason Reason
}

// Finding is one thing that is wrong now.
type Finding struct {
	// Kind is "table", "command", "source", "service", "route" or "name".
	Kind string
	// Subject is the ID of the thing, or its name where it has no ID (of a command: what it
	// is, who gave it and why); Service the ID of
	// its service, where it has one.
	Subject, Service string
	State            State
	Reason           Reason
}

// The kinds of findings.
const (
	KindTable   = "table"
	KindCommand = "command"
	KindSource  = "source"
	KindService = "service"
	KindRoute   = "route"
	KindName    = "name"
)

// Report is the condition of everything at one moment. It is immutable.
type Report struct {
	At time.Time
	// State is the worst of all.
	State State
	// Findings are what is wrong now, the worst first.
	Findings []Finding
	// Routes and Services are by ID, Sources by name.
	Routes, Services, Sources map[string]Condition

	backends map[string]judged // by ID
}

// judged are the endpoints of a backend: most are up, and that is held in few bytes.
type judged struct {
	*route.Backend
	faults []Reason // of each endpoint; nil when all are up
}

// Endpoint says how an endpoint of a backend is doing; the zero value where the report does not have it.
func (r *Report) Endpoint(backend, id string) Endpoint {
	b := r.backends[backend]
	i, ok := b.Index(id)
	switch {
	case !ok:
		return Endpoint{}
	case b.faults == nil:
		return Endpoint{Up: true}
	}
	return Endpoint{Up: b.faults[i].Code == "", Reason: b.faults[i]}
}

// Incomplete is why lists, and what is said about a name or a request, may lack something: the newest
// table is not live, a rollback or pin is in force, a source does not answer.
func (r *Report) Incomplete() (reasons []Reason) {
	for _, f := range r.Findings {
		if f.Kind == KindTable || f.Kind == KindCommand {
			reasons = append(reasons, f.Reason)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Sources)) {
		reasons = append(reasons, r.Sources[name].Reasons...)
	}
	return reasons
}
