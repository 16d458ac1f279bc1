package app

import (
	"sync/atomic"

	"fairway/internal/admin"
	"fairway/internal/api"
	"fairway/internal/control"
	"fairway/internal/dockerflow"
	"fairway/internal/dockerflow/statistics"
	"fairway/internal/engine/embedded"
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

// asHAProxy shows HAProxy to the face of Docker Flow; nil for another engine.
func asHAProxy(e engine) dockerflow.HAProxy {
	if h, ok := e.(tendedHAProxy); ok {
		return h.Engine
	}
	return nil
}

// statisticsOf shows the engine's statistics to the face of Docker Flow.
func statisticsOf(e engine, tables dockerflow.Tables) dockerflow.Statistics {
	switch e := e.(type) {
	case tendedHAProxy:
		return e.Engine
	case *embedded.Engine:
		return statistics.CSV{Engine: e, Tables: tables}
	}
	return nil
}
