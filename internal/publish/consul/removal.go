package consul

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/consul"
)

// When entries that are not wanted any more may go.
const (
	confirmFor = 5 * time.Second  // unwanted all the time
	runningFor = time.Minute      // likewise, while the instance runs: what it asks for may not be known yet
	massFrom   = 4                // of so many entries at least, more than half at once
	massFor    = 10 * time.Minute // are held for so long, or until an operator says so
)

// removal decides which entries may go: never on doubt. It looks at every snapshot.
type removal struct {
	unwanted map[string]time.Time     // since when, by entry
	states   map[string]catalog.State // of instances that have an entry, as last seen
	runs     map[string]bool          // of them those that the newest snapshot has, and that run
	mass     time.Time                // since when more than half would go
}

// look notes how the instances of entries are.
func (r *removal) look(s *catalog.Snapshot, entries []consul.Service) {
	states := make(map[string]catalog.State, len(entries))
	for _, e := range entries {
		id := e.Meta[metaInstance]
		if last, known := r.states[id]; known {
			states[id] = last
		} else {
			states[id] = ""
		}
	}
	runs := map[string]bool{}
	for _, svc := range s.Services {
		for _, in := range svc.Instances {
			if _, asked := states[in.ID]; asked {
				states[in.ID] = in.State
				runs[in.ID] = in.State != catalog.StateStopped
			}
		}
	}
	r.states, r.runs = states, runs
}

// stopped reports whether an instance was seen to stop.
func (r *removal) stopped(id string) bool {
	return r.states[id] == catalog.StateStopped || r.states[id] == catalog.StateLeaving
}

// decide returns the entries that may go now, and why others stay. entries are all of the
// owner, wanted says which of them are. force is the operator's word.
func (r *removal) decide(s *catalog.Snapshot, entries []consul.Service, wanted func(id string) bool, force bool, now time.Time) (gone []string, held map[string]string) {
	held = map[string]string{}
	since := map[string]time.Time{}
	var ready []consul.Service
	unsure := 0
	for _, e := range entries {
		if wanted(e.ID) {
			continue
		}
		began, known := r.unwanted[e.ID]
		if !known {
			began = now
		}
		since[e.ID] = began
		stopped := r.stopped(e.Meta[metaInstance])
		why := doubt(s, e)
		switch {
		case why != "":
			held[e.ID] = why
		case !stopped && now.Sub(began) < confirmFor && !force:
			held[e.ID] = "that it is gone is to be confirmed"
		case r.runs[e.Meta[metaInstance]] && now.Sub(began) < runningFor && !force:
			held[e.ID] = "its instance runs, and asks for it no more"
		default:
			ready = append(ready, e)
		}
		if why == "" && !stopped {
			unsure++
		}
	}
	r.unwanted = since
	if !(len(entries) >= massFrom && 2*unsure > len(entries)) {
		r.mass = time.Time{}
	} else if r.mass.IsZero() {
		r.mass = now
	}
	for _, e := range ready {
		if !r.mass.IsZero() && !force && now.Sub(r.mass) < massFor && !r.stopped(e.Meta[metaInstance]) {
			held[e.ID] = fmt.Sprintf("%d of %d entries would go at once: fairway publish apply --removals lets them, and so do ten minutes", unsure, len(entries))
			continue
		}
		gone = append(gone, e.ID)
	}
	slices.Sort(gone)
	return gone, held
}

// doubt is why nothing can be said of an entry that is not wanted; empty for none.
func doubt(s *catalog.Snapshot, e consul.Service) string {
	name := e.Meta[metaSource]
	for _, src := range s.Sources {
		switch {
		case src.Name != name:
		case src.Stale:
			return "source " + name + " is silent"
		case !src.Synced:
			return "source " + name + " has not answered yet"
		default:
			return ""
		}
	}
	return "source " + name + notHere
}

const notHere = " is not configured here; its lease ends by itself"

// endsByItself reports whether a doubt is one that no renewal of the lease keeps alive.
func endsByItself(why string) bool { return strings.HasSuffix(why, notHere) }
