package docker

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/deploy/marks"
	"fairway/internal/discovery/daemon"
	"fairway/internal/dockerapi"
)

// listLag is how far a list may lag behind events. What had an event so recently is
// inspected, which waits for the change.
const listLag = 3 * time.Second

// goneFor is longer than any call takes that may bring news of a destroyed container.
const goneFor = time.Minute

// world is what is known about the containers of an engine. It makes no calls; one
// goroutine uses it at a time.
//
// A list has nearly everything about a container, an inspection the rest. Containers whose
// inspection is outstanding are in doubt; those in urgent doubt first.
type world struct {
	source      string
	host        dockerapi.Host
	enclosed    bool   // the engine's networks are not those of its machine
	selfID      string // of Fairway's container; empty outside any container
	environment bool   // see Options.Environment
	label       string // that containers have which count; see Options.Label
	now         func() time.Time

	variables bool // of containers count as labels; see Options.Variables

	nodes      []*catalog.Node // the engine's machine
	containers map[string]*entry
	groups     map[group]*shared           // those that containers have
	built      map[string]*catalog.Service // of the newest answer, by ID
	drivers    map[string]string           // network ID → kind of network

	events  uint64          // number of the newest event
	gone    map[string]mark // destroyed lately → that event
	doubts  map[string]bool // to be inspected
	urgent  map[string]bool // those of them that are awaited
	waiting map[string]bool // those that may not get their first request yet
	fresh   bool            // something changed since the last answer
	unsaid  bool            // a container went since then without an event
	details bool            // only details changed that an inspection filled in
}

// leavingLimit is how long a container that runs on after a signal to stop is leaving.
const leavingLimit = 10 * time.Minute

type entry struct {
	facts *dockerapi.Container // never written; see set
	// known is false until a list or an inspection had it.
	known bool
	// leaving is when it got a signal to stop, by the engine's clock, and signal which.
	leaving time.Time
	signal  string
	// undecided is a signal that only an inspection can interpret.
	undecided   string
	undecidedAt time.Time
	// number and at are those of the newest event about it.
	number uint64
	at     time.Time
	// unreadable is true while its inspection fails.
	unreadable bool
	// admit is when it may get its first request, after the start that admitFor is; zero for
	// at once.
	admit, admitFor time.Time
	instance        *catalog.Instance // nil for a container that is none of ours
	group           *shared           // nil with instance
}

func newEntry(id string) *entry { return &entry{facts: &dockerapi.Container{ID: id}} }

// set gives the facts another status, health and detail of it.
func (e *entry) set(status, health, detail string) {
	next := *e.facts
	next.Status, next.Health, next.Detail = status, health, detail
	e.facts = &next
}

func newWorld(source string, host dockerapi.Host, selfID string) *world {
	return &world{
		source:     source,
		host:       host,
		selfID:     selfID,
		now:        time.Now,
		containers: make(map[string]*entry),
		groups:     make(map[group]*shared),
		drivers:    make(map[string]string),
		gone:       make(map[string]mark),
		doubts:     make(map[string]bool),
		urgent:     make(map[string]bool),
		waiting:    make(map[string]bool),
	}
}

// mark is the moment at which a call began.
type mark struct {
	number uint64
	at     time.Time
}

func (w *world) mark(now time.Time) mark { return mark{w.events, now} }

// doubtAll is called when events may have been missed.
func (w *world) doubtAll() {
	for id := range w.containers {
		w.doubt(id, false)
	}
}

// nextDoubt returns a container to inspect; one in no urgent doubt only with rest.
func (w *world) nextDoubt(inflight map[string]bool, rest bool) (id string, ok bool) {
	for id := range w.urgent {
		if !inflight[id] {
			return id, true
		}
	}
	for id := range w.doubts {
		if rest && !inflight[id] {
			return id, true
		}
	}
	return "", false
}

// admitted decides when a container that says so in a label gets its first request. The clock
// of the engine counts, unless it is ahead.
func (e *entry) admitted(now time.Time) {
	wait := marks.Admit(e.facts.Labels)
	switch started := e.facts.Started; {
	case wait == 0 || e.facts.Health != "" || e.facts.Status != "running" || !e.facts.Inspected:
		e.admit, e.admitFor = time.Time{}, time.Time{}
	case !started.Equal(e.admitFor):
		e.admit, e.admitFor = started.Add(wait), started
		if latest := now.Add(wait); e.admit.After(latest) {
			e.admit = latest
		}
	}
}

// nextAdmitted returns when the next container may get its first request; zero for none.
func (w *world) nextAdmitted() (next time.Time) {
	now := w.now()
	for id := range w.waiting {
		e := w.containers[id]
		if e == nil || !e.admit.After(now) {
			delete(w.waiting, id)
			if e != nil {
				w.refresh(e, false)
			}
		} else if next.IsZero() || e.admit.Before(next) {
			next = e.admit
		}
	}
	return next
}

// needsInspection reports whether a list is not enough: the ports of one without a network
// stack of its own are only in its configuration, and one that is leaving may have come back.
func (e *entry) needsInspection() bool {
	foreign := e.facts.NetworkMode == "host" || strings.HasPrefix(e.facts.NetworkMode, "container:")
	_, mark := marks.Read(e.facts.Name)
	foreign = foreign || mark.Kind == marks.Leaving
	return !e.facts.Inspected && foreign && e.facts.Status == "running" || !e.leaving.IsZero() || e.undecided != ""
}

func (w *world) doubt(id string, urgent bool) {
	w.doubts[id] = true
	if urgent {
		w.urgent[id] = true
	}
}

func (w *world) sure(id string) {
	delete(w.doubts, id)
	delete(w.urgent, id)
	if len(w.doubts) == 0 { // all are in doubt at first, and a map never gets smaller
		w.doubts, w.urgent = map[string]bool{}, map[string]bool{}
	}
}

// known are the facts about all containers, by ID.
func (w *world) known() map[string]*dockerapi.Container {
	all := make(map[string]*dockerapi.Container, len(w.containers))
	for id, e := range w.containers {
		if e.known {
			all[id] = e.facts
		}
	}
	return all
}

// list takes in a list that began at m.
func (w *world) list(l listing, m mark) {
	if l.info != nil {
		w.enclosed = l.info.Enclosed
		w.nodes = []*catalog.Node{{
			ID: w.source, Name: l.info.Name, Source: w.source,
			State: "ready", Address: w.host.Name, Engine: l.info.Version,
		}}
	}
	clear(w.drivers)
	for _, n := range l.networks {
		w.drivers[n.ID] = n.Driver
	}
	seen := make(map[string]bool, len(l.containers))
	for _, c := range l.containers {
		if c.ID == "" {
			continue
		}
		seen[c.ID] = true
		if w.selfID != "" && isFullID(c.ID) && strings.HasPrefix(c.ID, w.selfID) {
			w.selfID = c.ID // it may be a short one at first
		}
		if w.gone[c.ID].number <= m.number {
			w.listed(c, m)
		}
	}
	for id, e := range w.containers {
		switch {
		case seen[id]:
		case e.newerThan(m):
			w.doubt(id, true)
		default:
			w.unsaid = true
			w.remove(id)
		}
	}
	for id, destroyed := range w.gone {
		if m.at.Sub(destroyed.at) > goneFor {
			delete(w.gone, id)
		}
	}
	w.refreshAll()
	clear(w.groups)
	for _, e := range w.containers {
		if e.group != nil {
			w.groups[e.group.group] = e.group
		}
	}
}

// newerThan reports whether a list that began at m may be older than an event.
func (e *entry) newerThan(m mark) bool {
	return !e.at.IsZero() && m.at.Sub(e.at) < listLag
}

func (w *world) listed(c *dockerapi.Container, m mark) {
	e := w.containers[c.ID]
	if e == nil {
		e = newEntry(c.ID)
		w.containers[c.ID] = e
		w.doubt(c.ID, false)
		w.take(e, c)
		return
	}
	if e.newerThan(m) {
		w.doubt(c.ID, true)
		return
	}
	if e.unreadable {
		e.unreadable = false
		w.doubt(c.ID, false)
	}
	if !e.leaving.IsZero() && c.Status == "running" && m.at.Sub(e.at) > leavingLimit {
		e.leaving = time.Time{}
	}
	if e.facts.Status != c.Status {
		w.doubt(c.ID, false) // an event was missed
	}
	if c != e.facts {
		completed := *c
		complete(&completed, e.facts)
		c = &completed
	}
	w.take(e, c)
}

// inspected takes in an inspection that began at m.
func (w *world) inspected(c dockerapi.Container, m mark) (unknownNetwork bool) {
	urgent := w.urgent[c.ID]
	if w.gone[c.ID].number > m.number {
		return false
	}
	e := w.containers[c.ID]
	if e == nil {
		e = newEntry(c.ID)
		w.containers[c.ID] = e
	}
	if e.number > m.number {
		w.doubt(c.ID, true) // something happened meanwhile: read it again
		return false
	}
	w.sure(c.ID)
	if e.undecided != "" && daemon.IsStopping(e.undecided, c.StopSignal) && !c.Started.After(e.undecidedAt) {
		e.leaving, e.signal = e.undecidedAt, e.undecided
	}
	e.undecided = ""
	if !e.leaving.IsZero() && c.Started.After(e.leaving) {
		e.leaving = time.Time{} // it was started again
	}
	delete(c.Labels, labelNumber)
	w.take(e, &c)
	w.refresh(e, !urgent)
	return slices.ContainsFunc(c.Attachments, func(a dockerapi.Attachment) bool {
		return a.NetworkID != "" && w.drivers[a.NetworkID] == ""
	})
}

func (w *world) missing(id string, m mark) {
	w.sure(id)
	if e := w.containers[id]; e != nil && e.number > m.number {
		w.doubt(id, true)
		return
	}
	w.unsaid = true
	w.remove(id)
}

// unreadable notes that an inspection that began at m failed.
func (w *world) unreadable(id string, m mark) {
	w.sure(id)
	if e := w.containers[id]; e != nil && e.number > m.number {
		w.doubt(id, true)
	} else if e != nil {
		e.unreadable, e.undecided = true, ""
	}
}

// take replaces the facts of a container, if they are others. Only those of one that is not known may
// be held elsewhere.
func (w *world) take(e *entry, c *dockerapi.Container) {
	if e.known && c != e.facts {
		share(c, e.facts)
	}
	if !e.known || !reflect.DeepEqual(e.facts, c) {
		e.facts = c
	}
	e.known = true
	if e.facts.Status != "running" && e.facts.Status != "paused" {
		e.leaving, e.undecided = time.Time{}, ""
	}
	unknown := w.environment && !e.facts.Inspected && e.facts.Status == "running"
	if (unknown || e.needsInspection()) && w.doubts[e.facts.ID] {
		w.doubt(e.facts.ID, true)
	}
}

func (w *world) remove(id string) {
	w.sure(id)
	e := w.containers[id]
	if e == nil {
		return
	}
	delete(w.containers, id)
	w.fresh = w.fresh || e.instance != nil
	w.refreshDependents(id)
}

// changed reports whether there is something new to answer, and forgets it. Details wait until
// idle is true and nothing is in doubt.
func (w *world) changed(idle bool) bool {
	if w.details && idle && len(w.doubts) == 0 {
		w.fresh = true
	}
	if !w.fresh {
		return false
	}
	w.fresh, w.details = false, false
	return true
}

// services returns all services, and whether one is gone without an event since the last call.
func (w *world) services() (list []*catalog.Service, doubtful bool) {
	m := make(members, len(w.built))
	for _, e := range w.containers {
		if e.instance != nil {
			m[e.group] = append(m[e.group], e.instance)
		}
	}
	next := m.services(w.source, w.built)
	for id := range w.built {
		doubtful = doubtful || w.unsaid && next[id] == nil
	}
	w.built, w.unsaid = next, false
	// In one order, so that an answer that says nothing new is seen to be the one before.
	return slices.SortedFunc(maps.Values(next), func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) }), doubtful
}

// event applies what an event says by itself and leaves the rest to an inspection. It returns
// true when the container should be known and is not.
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
		c = newEntry(id)
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
			c.set("paused", c.facts.Health, c.facts.Detail)
		}
	case "health_status":
		switch health := strings.TrimSpace(detail); health {
		case "healthy", "unhealthy", "starting":
			c.set(c.facts.Status, health, "")
		}
	}
}

func (w *world) markStopped(c *entry) {
	c.leaving, c.undecided = time.Time{}, ""
	c.set("exited", "", "")
}

// stopsBefore notes that a container stopped when an event removes one that is known to
// run, and reports whether it did.
func (w *world) stopsBefore(e dockerapi.Event) bool {
	c := w.containers[e.ID]
	if e.Type != "container" || e.Action != "destroy" || c == nil || c.facts.Status != "running" || !c.leaving.IsZero() {
		return false
	}
	w.markStopped(c)
	w.refresh(c, false)
	return true
}
