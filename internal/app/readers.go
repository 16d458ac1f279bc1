package app

import (
	"sync/atomic"

	"fairway/internal/api"
	"fairway/internal/control"
	"fairway/internal/dockerflow"
	"fairway/internal/dockerflow/statistics"
	"fairway/internal/engine/embedded"
)

// tables says how the loop is doing for the admin API, which knows when Fairway
// waits for more than a table, and when it ends.
type tables struct {
	*control.Control
	// waiting says what is lacking besides a table; nil means nothing ever is.
	waiting func() string
	// draining is set when Fairway has begun to end.
	draining *atomic.Bool
}

// Changed is closed when there is another table.
func (t tables) Changed() <-chan struct{} { return t.Tables().Changed() }

// Status is the loop's. A replica that gets its services by calls is starting until
// it has them.
func (t tables) Status() control.Status {
	s := t.Control.Status()
	if t.draining.Load() {
		s.State, s.Pending = api.StateDraining, ""
		return s
	}
	if t.waiting == nil {
		return s
	}
	if lacking := t.waiting(); lacking != "" {
		s.State, s.Pending = api.StateStarting, lacking
	}
	return s
}

// asHAProxy shows HAProxy to the API of Docker Flow; nil for another engine.
func asHAProxy(e engine) dockerflow.HAProxy {
	if h, ok := e.(supervisedHAProxy); ok {
		return h.Engine
	}
	return nil
}

// statisticsOf shows the engine's statistics to the API of Docker Flow.
func statisticsOf(e engine, tables dockerflow.Tables) dockerflow.Statistics {
	switch e := e.(type) {
	case supervisedHAProxy:
		return e.Engine
	case *embedded.Engine:
		return statistics.CSV{Engine: e, Tables: tables}
	}
	return nil
}
