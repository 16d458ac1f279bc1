package balance

import (
	"time"

	"fairway/internal/route"
)

// BackendStatus is how a backend is doing at one moment.
type BackendStatus struct {
	// ID is the backend's ID in the table.
	ID string
	// Endpoints is sorted by ID.
	Endpoints []EndpointStatus
}

// EndpointStatus is how an endpoint is doing at one moment.
type EndpointStatus struct {
	// ID, Instance, Address and State are what the table says.
	ID       string
	Instance string
	Address  string
	State    route.EndpointState
	// InRotation is true when the endpoint may be picked for new clients.
	InRotation bool
	// Weight is the effective weight: the table's, or less during slow start.
	Weight float64
	// InFlight is the number of requests that are there now.
	InFlight int64
	// Requests and Failures count since the endpoint is known.
	Requests uint64
	Failures uint64
	// EjectedUntil is when the endpoint comes back after failures; zero when it
	// is not ejected now.
	EjectedUntil time.Time
	// Check is the last active check; nil before the first, and when none are
	// made.
	Check *CheckResult
}

// CheckResult is the outcome of one active check.
type CheckResult struct {
	At time.Time
	// Err is why the check failed; nil when it did not.
	Err error
}

func (b *Backend) status() BackendStatus {
	now := b.set.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unsettled {
		b.settle(now)
	}
	out := BackendStatus{ID: b.def.Load().ID, Endpoints: make([]EndpointStatus, 0, len(b.endpoints))}
	for _, e := range b.endpoints {
		d := e.def.Load()
		st := EndpointStatus{
			ID: d.ID, Instance: d.Instance, Address: d.Address, State: d.State,
			InRotation: e.entered,
			Weight:     float64(e.share) / shareUnit,
			InFlight:   e.inFlight.Load(),
			Requests:   e.requests.Load(),
			Failures:   e.failures.Load(),
		}
		if now.Before(e.ejectedUntil) {
			st.EjectedUntil = e.ejectedUntil
		}
		if e.check != nil && !e.check.last.At.IsZero() {
			last := e.check.last
			st.Check = &last
		}
		out.Endpoints = append(out.Endpoints, st)
	}
	return out
}
