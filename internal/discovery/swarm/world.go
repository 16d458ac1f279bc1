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

// hintTTL is how long an event about a task counts while the lists say otherwise: a
// container may survive the signal it was sent.
const hintTTL = 30 * time.Second

// world is what is known about a Swarm. It makes no calls; one goroutine uses
// it.
type world struct {
	place place
	facts facts
	known bool                // facts are of at least one refresh
	hints map[string]hint     // by task ID
	built map[string]*service // by service ID
	nodes map[string]*catalog.Node
	ids   map[string]bool // of the services in the last answer
	// around counts the changes of what every translation may depend on: nodes,
	// networks, and which of them Fairway is on.
	around uint64
	stale  bool // something changed since the services were built
	fresh  bool // the services built differ from those answered
}

// hint is the state of a task taken from an event, and when. It counts for hintTTL,
// or until a list contradicts it.
type hint struct {
	state hintState
	at    time.Time
}

// service is a service as it was built last, and what from.
type service struct {
	version, around uint64
	runs            []runKey
	result          *catalog.Service
}

// runKey is what the translation of a task depends on.
type runKey struct {
	id      string
	version uint64
	leaving bool
	hint    hintState
}

func newWorld(p place) *world {
	return &world{
		place: p,
		hints: make(map[string]hint),
		built: make(map[string]*service),
		nodes: make(map[string]*catalog.Node),
		ids:   make(map[string]bool),
	}
}

// take takes in what a refresh brought, and reports whether it is news.
func (w *world) take(f facts, now time.Time) bool {
	before := w.facts
	around := !sameList(before.nodes, f.nodes) || !sameList(before.networks, f.networks) || !maps.Equal(before.own, f.own)
	changed := !w.known || around || !sameList(before.services, f.services) || !sameList(before.tasks, f.tasks) ||
		!slices.EqualFunc(before.leaving, f.leaving, func(a, b dockerapi.Task) bool { return a.ID == b.ID && a.Version == b.Version })
	w.facts, w.known = f, true
	if around {
		w.around++
	}
	w.stale = w.stale || changed || w.forget(now)
	return changed
}

// sameList reports whether two lists are one: a list that did not change is not
// made anew.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// forget drops what events said and what no longer counts, and reports whether
// that makes a difference.
func (w *world) forget(now time.Time) (different bool) {
	if len(w.hints) == 0 {
		return false
	}
	listed := make(map[string]bool)
	for _, list := range [][]dockerapi.Task{w.facts.tasks, w.facts.leaving} {
		for _, t := range list {
			listed[t.ID] = true
		}
	}
	for id, h := range w.hints {
		// An event of a task may come before it is listed.
		if now.Sub(h.at) >= hintTTL {
			delete(w.hints, id)
			different = different || listed[id]
		}
	}
	return different
}

// taskLabel is the label by which an event of a container names its task.
const taskLabel = "com.docker.swarm.task.id"

// event applies what an event of a container says by itself, and reports whether it
// is about a task.
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

// stopSignal is the signal that the service of a task names to stop it; empty when it
// names none. The one of the image is not known.
func (w *world) stopSignal(task string) string {
	for _, list := range [][]dockerapi.Task{w.facts.tasks, w.facts.leaving} {
		for _, t := range list {
			if t.ID == task {
				return t.StopSignal
			}
		}
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

// build translates again what changed, and notes in w.fresh whether that made a
// difference.
func (w *world) build() {
	if !w.stale {
		return
	}
	w.stale = false
	v := &view{
		place:    w.place,
		nodes:    make(map[string]dockerapi.Node, len(w.facts.nodes)),
		networks: make(map[string]dockerapi.SwarmNetwork, len(w.facts.networks)),
		own:      w.facts.own,
	}
	for _, n := range w.facts.networks {
		v.networks[n.ID] = n
	}
	for _, n := range w.facts.nodes {
		v.nodes[n.ID] = n
		v.leaderDown = v.leaderDown || n.Leader && n.State == "down"
	}
	w.buildNodes(v)
	runs := w.runs()
	next := make(map[string]*service, len(w.facts.services))
	for _, s := range w.facts.services {
		if s.ID == "" {
			continue
		}
		next[s.ID] = w.buildService(v, s, runs[s.ID])
	}
	w.fresh = w.fresh || len(next) != len(w.built)
	w.built = next
}

// buildService returns the service as it was if nothing it is made of changed,
// and with the pointer it had if that makes no difference.
func (w *world) buildService(v *view, s dockerapi.Service, runs []run) *service {
	b := &service{version: s.Version, around: w.around, runs: make([]runKey, 0, len(runs))}
	for _, r := range runs {
		b.runs = append(b.runs, runKey{r.ID, r.Version, r.leaving, r.hint})
	}
	old := w.built[s.ID]
	if old != nil && old.version == b.version && old.around == b.around && slices.Equal(old.runs, b.runs) {
		return old
	}
	b.result = v.service(s, runs)
	if old != nil && reflect.DeepEqual(old.result, b.result) {
		b.result = old.result
	} else {
		w.fresh = true
	}
	return b
}

// runs sorts the tasks by service. A task that is in both lists is in the one of
// those that are meant to run.
func (w *world) runs() map[string][]run {
	byService := make(map[string][]run, len(w.facts.services))
	seen := make(map[string]bool, len(w.facts.tasks))
	add := func(t dockerapi.Task, leaving bool) {
		if t.ID == "" || seen[t.ID] {
			return
		}
		seen[t.ID] = true
		byService[t.ServiceID] = append(byService[t.ServiceID], run{Task: t, leaving: leaving, hint: w.hints[t.ID].state})
	}
	for _, t := range w.facts.tasks {
		add(t, false)
	}
	for _, t := range w.facts.leaving {
		add(t, true)
	}
	return byService
}

func (w *world) buildNodes(v *view) {
	next := make(map[string]*catalog.Node, len(w.facts.nodes))
	for _, n := range w.facts.nodes {
		if n.ID == "" {
			continue
		}
		node := v.node(n)
		if old := w.nodes[n.ID]; old != nil && reflect.DeepEqual(old, node) {
			node = old
		} else {
			w.fresh = true
		}
		next[n.ID] = node
	}
	w.fresh = w.fresh || len(next) != len(w.nodes)
	w.nodes = next
}

// answer returns everything, in no particular order, and whether a service is
// gone since the last call.
func (w *world) answer() (services []*catalog.Service, nodes []*catalog.Node, vanished bool) {
	w.fresh = false
	ids := make(map[string]bool, len(w.built))
	services = make([]*catalog.Service, 0, len(w.built))
	for _, s := range w.built {
		services = append(services, s.result)
		ids[s.result.ID] = true
	}
	for id := range w.ids {
		vanished = vanished || !ids[id]
	}
	w.ids = ids
	return services, slices.Collect(maps.Values(w.nodes)), vanished
}
