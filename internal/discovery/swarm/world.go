package swarm

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/discovery/daemon"
	"fairway/internal/dockerapi"
)

// hintTTL is how long an event counts while lists contradict it: a container may survive.
const hintTTL = 30 * time.Second

// world is what is known about a Swarm. It makes no calls; one goroutine uses it.
type world struct {
	place    place
	facts    facts
	known    bool            // facts are of at least one refresh
	hints    map[string]hint // by task ID
	services map[string]*catalog.Service
	nodes    map[string]*catalog.Node
	stale    bool // something changed since they were built
	fresh    bool // they differ from those answered
	vanished bool // so do the services in that one is gone
}

type hint struct {
	state hintState
	at    time.Time
}

func newWorld(p place) *world { return &world{place: p, hints: make(map[string]hint)} }

// take takes in what a refresh brought, and reports whether it is news.
func (w *world) take(f facts, now time.Time) bool {
	before := w.facts
	changed := !w.known || !sameList(before.nodes, f.nodes) || !sameList(before.networks, f.networks) || !maps.Equal(before.own, f.own) ||
		!sameList(before.services, f.services) || !sameList(before.tasks, f.tasks) ||
		!slices.EqualFunc(before.leaving, f.leaving, func(a, b dockerapi.Task) bool { return a.ID == b.ID && a.Version == b.Version })
	w.facts, w.known = f, true
	w.stale = w.stale || changed || w.forget(now)
	return changed
}

// sameList reports whether two lists are one.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (w *world) task(id string) *dockerapi.Task {
	for _, list := range [][]dockerapi.Task{w.facts.tasks, w.facts.leaving} {
		if i := slices.IndexFunc(list, func(t dockerapi.Task) bool { return t.ID == id }); i >= 0 {
			return &list[i]
		}
	}
	return nil
}

// forget drops old hints, and reports whether that makes a difference.
func (w *world) forget(now time.Time) (different bool) {
	for id, h := range w.hints {
		// An event of a task may come before it is listed.
		if now.Sub(h.at) >= hintTTL {
			delete(w.hints, id)
			different = different || w.task(id) != nil
		}
	}
	return different
}

const taskLabel = "com.docker.swarm.task.id"

// event applies what an event of a container says, and reports whether it is of a task.
func (w *world) event(e dockerapi.Event, now time.Time) bool {
	id := e.Attributes[taskLabel]
	if id == "" {
		return false
	}
	switch {
	case e.Action == "die":
		w.hints[id] = hint{ended, now}
		w.stale = true
	case e.Action == "kill" && daemon.IsStopping(e.Attributes["signal"], w.stopSignal(id)) && w.hints[id].state == noHint:
		w.hints[id] = hint{stopping, now}
		w.stale = true
	}
	return true
}

// stopSignal is the signal with which a task is stopped, as its service says; empty for none.
func (w *world) stopSignal(task string) string {
	if t := w.task(task); t != nil {
		return t.StopSignal
	}
	return ""
}

// converging reports whether something has not reached its desired state.
func (w *world) converging() bool {
	return len(w.facts.leaving) > 0 ||
		slices.ContainsFunc(w.facts.tasks, func(t dockerapi.Task) bool { return t.State != t.Desired }) ||
		slices.ContainsFunc(w.facts.services, func(s dockerapi.Service) bool { return s.Updating }) ||
		slices.ContainsFunc(w.facts.nodes, func(n dockerapi.Node) bool { return n.State != "ready" && (n.State != "down" || n.Leader) })
}

// build translates everything anew when something changed.
func (w *world) build() {
	if !w.stale {
		return
	}
	w.stale = false
	v := &view{
		place:    w.place,
		nodes:    make(map[string]dockerapi.Node, len(w.facts.nodes)),
		networks: make(map[string]dockerapi.Network, len(w.facts.networks)),
		own:      w.facts.own,
	}
	for _, n := range w.facts.networks {
		v.networks[n.ID] = n
	}
	for _, n := range w.facts.nodes {
		v.nodes[n.ID] = n
		v.leaderDown = v.leaderDown || n.Leader && n.State == "down"
	}
	nodes := make(map[string]*catalog.Node, len(w.facts.nodes))
	for id, n := range v.nodes {
		if id != "" {
			nodes[id] = v.node(n)
		}
	}
	runs := w.runs()
	services := make(map[string]*catalog.Service, len(w.facts.services))
	for _, s := range w.facts.services {
		if s.ID != "" {
			service := v.service(s, runs[s.ID])
			services[service.ID] = service
		}
	}
	for id := range w.services {
		w.vanished = w.vanished || services[id] == nil
	}
	sameNodes, sameServices := keep(w.nodes, nodes), keep(w.services, services)
	w.fresh = w.fresh || !sameNodes || !sameServices
	w.nodes, w.services = nodes, services
}

// keep puts the old pointers into next for what is equal, and reports whether all is.
func keep[T any](old, next map[string]*T) (same bool) {
	same = len(old) == len(next)
	for id, n := range next {
		if o := old[id]; o != nil && reflect.DeepEqual(o, n) {
			next[id] = o
		} else {
			same = false
		}
	}
	return same
}

// runs sorts the tasks by service. One that is in both lists is meant to run.
func (w *world) runs() map[string][]run {
	byService := make(map[string][]run, len(w.facts.services))
	seen := map[string]bool{"": true}
	for i, list := range [][]dockerapi.Task{w.facts.tasks, w.facts.leaving} {
		for _, t := range list {
			if !seen[t.ID] {
				seen[t.ID] = true
				byService[t.ServiceID] = append(byService[t.ServiceID], run{Task: t, leaving: i == 1, hint: w.hints[t.ID].state})
			}
		}
	}
	return byService
}

// answer returns everything, and whether a service is gone since the last call.
func (w *world) answer() (services []*catalog.Service, nodes []*catalog.Node, vanished bool) {
	vanished = w.vanished
	w.fresh, w.vanished = false, false
	return slices.Collect(maps.Values(w.services)), slices.Collect(maps.Values(w.nodes)), vanished
}
