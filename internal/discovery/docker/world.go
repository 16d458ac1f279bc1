package docker

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/discovery/daemon"
	"fairway/internal/dockerapi"
)

// listLag is how far the engine's list may lag behind its events: an event can
// be sent before the change is in the list. What had an event so recently is
// not taken from a list but inspected, which waits for the change.
const listLag = 3 * time.Second

// goneFor is how long a destroyed container is remembered: longer than any call
// takes that may still bring news of it.
const goneFor = time.Minute

// world is what is known about the containers of an engine. It makes no calls;
// one goroutine uses it at a time.
//
// A list has nearly everything about a container, an inspection the rest.
// Containers whose inspection is outstanding are in doubt; those in urgent doubt
// first.
type world struct {
	place      place
	node       *catalog.Node
	containers map[string]*entry
	groups     *groups
	sharers    map[string]bool   // containers in another one's network stack
	drivers    map[string]string // network ID → kind of network

	events  uint64          // number of the newest event
	gone    map[string]mark // destroyed lately → that event
	queue   []string        // in urgent doubt and not being read, in order
	doubts  map[string]bool // in doubt → urgently
	fresh   bool            // something changed since the last answer
	unsaid  bool            // a container went since then without an event
	details bool            // only details changed that an inspection filled in
}

// leavingLimit is how long a container that got a signal to stop counts as leaving
// while it still runs. It is longer than any usual grace period.
const leavingLimit = 10 * time.Minute

// entry is one container.
type entry struct {
	facts dockerapi.Container
	// known is false until a list or an inspection had it.
	known bool
	// leaving is when it got a signal to stop, by the engine's clock; zero for
	// never. signal is which.
	leaving time.Time
	signal  string
	// undecided is a signal of which only the container's configuration says
	// whether it means to stop.
	undecided   string
	undecidedAt time.Time
	// number and at are those of the newest event about it.
	number uint64
	at     time.Time
	// unreadable is true while its inspection fails.
	unreadable bool
	instance   *catalog.Instance // nil for a container that is none of ours
	group      group
}

func newWorld(source string, host dockerapi.Host, selfID string) *world {
	return &world{
		place:      place{source: source, host: host, selfID: selfID},
		containers: make(map[string]*entry),
		groups:     newGroups(source),
		sharers:    make(map[string]bool),
		drivers:    make(map[string]string),
		gone:       make(map[string]mark),
		doubts:     make(map[string]bool),
	}
}

// mark is the moment at which a call began.
type mark struct {
	number uint64
	at     time.Time
}

func (w *world) mark(now time.Time) mark { return mark{w.events, now} }

// doubtAll is called when events may have been missed. What was known stays,
// until it is read again.
func (w *world) doubtAll() {
	for id := range w.containers {
		w.doubt(id, false)
	}
}

// nextDoubt returns a container to inspect. Those in urgent doubt come first;
// the others only once rest is true.
func (w *world) nextDoubt(inflight map[string]bool, rest bool) (id string, ok bool) {
	for i, id := range w.queue {
		if !inflight[id] {
			w.queue = slices.Delete(w.queue, i, i+1)
			return id, true
		}
	}
	if rest {
		for id := range w.doubts {
			if !inflight[id] {
				return id, true
			}
		}
	}
	return "", false
}

// urgent reports whether something in urgent doubt is still to be read.
func (w *world) urgent() bool {
	for _, urgent := range w.doubts {
		if urgent {
			return true
		}
	}
	return false
}

// needsInspection reports whether a list is not enough to say how the container
// is reached: the ports of one that has no network stack of its own are only in
// its configuration. One that is leaving may have come back.
func (e *entry) needsInspection() bool {
	foreign := e.facts.NetworkMode == "host" || strings.HasPrefix(e.facts.NetworkMode, "container:")
	return !e.facts.Inspected && foreign && e.facts.Status == "running" || !e.leaving.IsZero() || e.undecided != ""
}

// doubt asks for an inspection.
func (w *world) doubt(id string, urgent bool) {
	w.doubts[id] = urgent || w.doubts[id]
	if urgent && !slices.Contains(w.queue, id) {
		w.queue = append(w.queue, id)
	}
}

// sure ends the doubt about a container.
func (w *world) sure(id string) {
	delete(w.doubts, id)
	if i := slices.Index(w.queue, id); i >= 0 {
		w.queue = slices.Delete(w.queue, i, i+1)
	}
}

// list takes in a list that began at m.
func (w *world) list(l listing, m mark) {
	if l.info != nil {
		w.place.enclosed = l.info.Enclosed
		w.node = &catalog.Node{
			ID: w.place.source, Name: l.info.Name, Source: w.place.source,
			State: "ready", Address: w.place.host.Name, Engine: l.info.Version,
		}
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
	w.findSelf(seen)
	w.refreshAll()
}

// newerThan reports whether a list that began at m may be older than what the
// events said about the container.
func (e *entry) newerThan(m mark) bool {
	return !e.at.IsZero() && m.at.Sub(e.at) < listLag
}

// listed takes in one container of a list.
func (w *world) listed(c dockerapi.Container, m mark) {
	e := w.containers[c.ID]
	if e == nil {
		e = &entry{}
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
	if e.facts.Inspected {
		// What only an inspection has never changes, but for the time of the
		// start, which is read again when in doubt.
		c.Image, c.StopSignal, c.Exposed = e.facts.Image, e.facts.StopSignal, e.facts.Exposed
		c.Started, c.Inspected = e.facts.Started, true
	}
	w.take(e, c)
}

// inspected takes in the result of an inspection that began at m. It returns
// true when the container is on a network that is not known.
func (w *world) inspected(c dockerapi.Container, m mark) (unknownNetwork bool) {
	urgent := w.doubts[c.ID]
	if w.gone[c.ID].number > m.number {
		return false
	}
	e := w.containers[c.ID]
	if e == nil {
		e = &entry{}
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
	w.take(e, c)
	w.refresh(e, !urgent)
	return slices.ContainsFunc(c.Attachments, func(a dockerapi.Attachment) bool {
		return a.NetworkID != "" && w.drivers[a.NetworkID] == ""
	})
}

// missing notes that an inspection that began at m found no such container.
func (w *world) missing(id string, m mark) {
	w.sure(id)
	if e := w.containers[id]; e != nil && e.number > m.number {
		w.doubt(id, true)
		return
	}
	w.unsaid = true
	w.remove(id)
}

// unreadable notes that an inspection that began at m failed. What events have said
// since is still to be read.
func (w *world) unreadable(id string, m mark) {
	w.sure(id)
	e := w.containers[id]
	switch {
	case e == nil:
	case e.number > m.number:
		w.doubt(id, true)
	default:
		e.unreadable = true
		e.undecided = ""
	}
}

// take replaces the facts of a container.
func (w *world) take(e *entry, c dockerapi.Container) {
	if maps.Equal(e.facts.Labels, c.Labels) {
		c.Labels = e.facts.Labels // the list's, whose texts are shared
	}
	if !reflect.DeepEqual(e.facts, c) {
		e.facts = c
	}
	e.known = true
	if strings.HasPrefix(c.NetworkMode, "container:") {
		w.sharers[c.ID] = true
	}
	w.settle(e)
}

// settle ends a leave-taking that is over.
func (w *world) settle(e *entry) {
	if e.facts.Status != "running" && e.facts.Status != "paused" {
		e.leaving, e.undecided = time.Time{}, ""
	}
	if e.needsInspection() && w.doubts[e.facts.ID] {
		w.doubt(e.facts.ID, true)
	}
}

// remove forgets a container.
func (w *world) remove(id string) {
	w.sure(id)
	e := w.containers[id]
	if e == nil {
		return
	}
	delete(w.containers, id)
	delete(w.sharers, id)
	if e.instance != nil {
		w.groups.remove(e.group, id)
		w.fresh = true
	}
	w.refreshDependents(id)
}

// changed reports whether there is something new to answer, and forgets it.
// Details that inspections fill in one by one after a list are worth one
// answer at the end, which is when idle is true and nothing is in doubt.
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

// services returns all services, and whether one is gone since the last call
// without an event, which has to be confirmed.
func (w *world) services() (list []*catalog.Service, doubtful bool) {
	list, vanished := w.groups.services()
	doubtful = vanished && w.unsaid
	w.unsaid = false
	return list, doubtful
}

// nodes returns the engine's machine.
func (w *world) nodes() []*catalog.Node {
	if w.node == nil {
		return nil
	}
	return []*catalog.Node{w.node}
}
