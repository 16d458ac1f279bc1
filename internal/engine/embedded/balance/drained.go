package balance

import (
	"sync/atomic"
	"time"
)

// Drained says how an endpoint has left that had requests.
type Drained struct {
	// Backend and Endpoint are the IDs in the table, Service that of the backend's
	// service, and Instance the name of the instance.
	Backend, Endpoint, Service, Instance string
	// Requests is how many it was busy with when it left rotation for good, and
	// Failed how many of these it did not answer.
	Requests int64
	Failed   uint64
	// Took is how long it was until the last of them was over.
	Took time.Duration
}

// departure is what is remembered of an endpoint when it leaves.
type departure struct {
	at       time.Time
	requests int64
	failures uint64
	told     atomic.Bool
}

// depart begins to watch for the end of what runs. The caller holds backend.mu.
func (e *Endpoint) depart() {
	if e.backend.set.opts.OnDrained == nil || e.requests.Load() == 0 {
		return
	}
	d := &departure{at: e.backend.set.opts.Now(), requests: e.inFlight.Load(), failures: e.failures.Load()}
	e.departed.Store(d)
	if e.inFlight.Load() == 0 {
		e.drained(d)
	}
}

// drained tells once that nothing runs any more.
func (e *Endpoint) drained(d *departure) {
	if d.told.Swap(true) {
		return
	}
	set, def := e.backend.set, e.backend.def.Load()
	set.opts.OnDrained(Drained{
		Backend: def.ID, Endpoint: e.ID(), Service: def.Service, Instance: e.Instance(),
		Requests: d.requests, Failed: e.failures.Load() - d.failures, Took: set.opts.Now().Sub(d.at),
	})
}
