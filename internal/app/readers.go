package app

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/admin"
	"fairway/internal/api"
	"fairway/internal/control"
	"fairway/internal/dockerflow"
	"fairway/internal/engine/embedded"
	"fairway/internal/engine/embedded/balance"
	"fairway/internal/route"
)

// tables shows the loop to the admin API.
type tables struct {
	*control.Control
	// waiting says what is lacking besides a table; nil means nothing ever is.
	waiting func() string
	// draining is set when Fairway has begun to end.
	draining *atomic.Bool
}

// Status translates the loop's condition. A replica that is told of its services
// by calls is starting until it has them.
func (t tables) Status() admin.Status {
	s := t.Control.Status()
	out := admin.Status{State: string(s.State), Since: s.Since, Applied: s.Applied, Pending: s.Pending}
	if t.draining.Load() {
		out.State, out.Pending = api.StateDraining, ""
		return out
	}
	if t.waiting == nil {
		return out
	}
	if lacking := t.waiting(); lacking != "" {
		out.State, out.Pending = api.StateStarting, lacking
	}
	return out
}

// embeddedEndpoints shows the embedded engine to the admin API.
type embeddedEndpoints struct{ *embedded.Engine }

// Endpoints flattens what the engine knows of its backends.
func (e embeddedEndpoints) Endpoints() []admin.EndpointStatus {
	var out []admin.EndpointStatus
	for _, b := range e.Status() {
		for _, ep := range b.Endpoints {
			out = append(out, admin.EndpointStatus{
				Backend:       b.ID,
				Endpoint:      ep.ID,
				InFlight:      int(ep.InFlight),
				Requests:      ep.Requests,
				Failures:      ep.Failures,
				Ejected:       !ep.EjectedUntil.IsZero(),
				OutOfRotation: ep.State == route.EndpointReady && !ep.InRotation,
				Health:        checkText(ep.Check),
			})
		}
	}
	return out
}

// Endpoints tells what HAProxy knows.
func (e tendedHAProxy) Endpoints() []admin.EndpointStatus {
	var out []admin.EndpointStatus
	for _, ep := range e.Engine.Endpoints() {
		out = append(out, admin.EndpointStatus{
			Backend:       ep.Backend,
			Endpoint:      ep.Endpoint,
			InFlight:      ep.InFlight,
			Ejected:       ep.Ejected,
			OutOfRotation: ep.OutOfRotation,
			Health:        ep.Health,
			Requests:      ep.Requests,
			Failures:      ep.Failures,
		})
	}
	return out
}

// asHAProxy shows HAProxy to the face of Docker Flow; nil for another engine.
func asHAProxy(e engine) dockerflow.HAProxy {
	if h, ok := e.(tendedHAProxy); ok {
		return h.Engine
	}
	return nil
}

// statisticsOf shows the engine's statistics to the face of Docker Flow.
func statisticsOf(e engine, tables dockerflow.Tables, metrics prometheus.Gatherer) dockerflow.Statistics {
	switch e := e.(type) {
	case tendedHAProxy:
		return e.Engine
	case *embedded.Engine:
		return embeddedStatistics{e, tables, metrics}
	}
	return nil
}

// checkText puts the outcome of an active check into a word.
func checkText(c *balance.CheckResult) string {
	switch {
	case c == nil:
		return ""
	case c.Err != nil:
		return "failing"
	default:
		return "passing"
	}
}
