package docker

import (
	"cmp"
	"strings"
	"time"

	"fairway/internal/discovery/daemon"
	"fairway/internal/dockerapi"
)

// event applies what an event says by itself and leaves the rest to an inspection.
// It returns true when the event is about a container that should be known and is
// not.
func (w *world) event(e dockerapi.Event, now time.Time) (unknown bool) {
	id := e.ID
	if e.Type == "network" {
		if e.Action != "connect" && e.Action != "disconnect" {
			return false
		}
		id = e.Attributes["container"]
	}
	if id == "" || e.Type != "container" && e.Type != "network" {
		return false
	}
	w.events++
	if e.Type == "container" && e.Action == "destroy" {
		w.gone[id] = w.mark(now)
		w.remove(id)
		return false
	}
	c := w.containers[id]
	if c == nil {
		c = &entry{facts: dockerapi.Container{ID: id}}
		w.containers[id] = c
		unknown = e.Type == "container" && e.Action != "create"
	}
	c.number, c.at = w.events, now
	w.doubt(id, true)
	switch {
	case e.Type != "container":
	case c.known:
		w.apply(c, e)
		w.refresh(c, false)
	case e.Action == "kill":
		// Whether it runs, and what the signal means to it, is still to be read.
		c.undecided, c.undecidedAt = cmp.Or(e.Attributes["signal"], "SIGKILL"), e.Time
	}
	return unknown
}

// apply applies what an event says by itself.
func (w *world) apply(c *entry, e dockerapi.Event) {
	action, detail, _ := strings.Cut(e.Action, ":")
	running := c.facts.Status == "running" || c.facts.Status == "paused"
	switch action {
	case "kill":
		signal := e.Attributes["signal"]
		switch {
		case !running:
		case daemon.IsStopping(signal, c.facts.StopSignal):
			c.leaving, c.signal = e.Time, signal
		case !c.facts.Inspected:
			c.undecided, c.undecidedAt = signal, e.Time
		}
	case "stop":
		if running && c.leaving.IsZero() {
			c.leaving = e.Time
		}
	case "start":
		c.leaving, c.undecided = time.Time{}, ""
	case "die":
		w.markStopped(c)
	case "pause":
		if running {
			c.facts.Status = "paused"
		}
	case "health_status":
		switch health := strings.TrimSpace(detail); health {
		case "healthy", "unhealthy", "starting":
			c.facts.Health = health
		}
	}
}

func (w *world) markStopped(c *entry) {
	c.leaving, c.undecided = time.Time{}, ""
	c.facts.Status = "exited"
	c.facts.Health = ""
}

// leavingRunning reports whether an event removes a container that, as far as is
// known, still runs.
func (w *world) leavingRunning(e dockerapi.Event) bool {
	if e.Type != "container" || e.Action != "destroy" {
		return false
	}
	c := w.containers[e.ID]
	return c != nil && c.facts.Status == "running" && c.leaving.IsZero()
}

// stopped notes that a container does not run any more.
func (w *world) stopped(id string) {
	if c := w.containers[id]; c != nil {
		w.markStopped(c)
		w.refresh(c, false)
	}
}
