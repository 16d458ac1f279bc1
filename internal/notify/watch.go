package notify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/catalog"
)

const (
	// flapChanges within flapWindow are to and fro, until there is none within flapWindow.
	flapChanges = 8
	flapWindow  = 10 * time.Minute
)

// known is the last reported state of a node, service or source. It is kept on disk.
type known struct {
	Name   string `json:"name,omitempty"`
	Source string `json:"source,omitempty"`
	// Image is what the instances of a service ran when it last was complete.
	Image string `json:"image,omitempty"`
	// Ready is true once a service has had an instance that was ready.
	Ready bool `json:"ready,omitempty"`

	seen   uint64           // the last look that saw it
	stable *catalog.Service // the service as of the last snapshot in which it was not deploying
}

// subjectOf names what has a key, such as "node/ID", in events.
func subjectOf(key string) string { return clean(key, maxSubject) }

// watch decides what to report, a function of snapshots, time and what was reported.
type watch struct {
	settle   time.Duration
	known    map[string]*known // by key, "KIND/ID"
	standing map[string]Event  // what stands; only read here
	tracked  map[string]*track
	looks    uint64
}

// track is how something is doing that is not well, or was not a while ago.
type track struct {
	bad     bool
	since   time.Time   // when bad last changed
	changes []time.Time // of bad, within flapWindow
	seen    uint64      // the last look that saw it
}

// recently drops the changes that are too long ago and says whether any is left.
func (t *track) recently(now time.Time) bool {
	t.changes = slices.DeleteFunc(t.changes, func(at time.Time) bool { return now.Sub(at) >= flapWindow })
	return len(t.changes) > 0
}

func newWatch(settle time.Duration, keep map[string]*known, standing map[string]Event) *watch {
	return &watch{settle: settle, known: keep, standing: standing, tracked: map[string]*track{}}
}

// findings are what a look at a snapshot has found.
type findings struct {
	events []Event
	// changed is what is known otherwise than before; nil for what is to be forgotten.
	changed map[string]*known
	// withdrawn are conditions of what is not there any more.
	withdrawn []string
	// due is when to look again without a newer snapshot; zero for not at all.
	due time.Time
}

// look is one look at a snapshot.
type look struct {
	*watch
	findings
	s       *catalog.Snapshot
	now     time.Time
	sources map[string]catalog.SourceStatus
	down    map[string]bool // nodes that are, by ID
	stable  bool            // nothing about the service that is looked at is to be followed
	visited map[string]bool // instances that have been looked at; those of stable services are not
}

// next returns what to report now that s is the newest snapshot. Answers of an earlier
// run are not judged, and the first answer of a new source is no news.
func (w *watch) next(s *catalog.Snapshot, now time.Time) findings {
	if s == nil || s.Restored {
		return findings{}
	}
	w.looks++
	l := &look{
		watch: w, s: s, now: now, findings: findings{changed: map[string]*known{}},
		sources: map[string]catalog.SourceStatus{}, down: map[string]bool{}, visited: map[string]bool{},
	}
	for _, src := range s.Sources {
		l.sources[src.Name] = src
	}
	l.nodeEvents() // the cause before what follows from it
	l.sourceEvents()
	for _, service := range s.Services {
		l.service(service)
	}
	l.forgetGone()
	for _, src := range s.Sources {
		if src.Synced {
			l.know("source/"+src.Name, known{Name: src.Name, Source: src.Name})
		}
	}
	return l.findings
}

// news is true when what a source says is compared with what it said before.
func (l *look) news(source string) bool { return l.known["source/"+source] != nil }

// judged is true when the snapshot has what a source says now.
func (l *look) judged(source string) bool {
	s, ok := l.sources[source]
	return ok && s.Synced && !s.Stale
}

// know remembers what is known of what has the key.
func (l *look) know(key string, k known) {
	old := l.known[key]
	k.seen = l.looks
	if old == nil || old.Name != k.Name || old.Source != k.Source || old.Image != k.Image || old.Ready != k.Ready {
		l.changed[key] = &k
	}
	l.known[key] = &k
}

// forget drops what has the key, with what stands of it.
func (l *look) forget(key string) {
	delete(l.known, key)
	l.changed[key] = nil
	for _, kind := range []Kind{NodeDown, ServiceDown, SourceStale, Flapping} {
		l.withdraw(kind, subjectOf(key))
	}
}

func (l *look) withdraw(kind Kind, subject string) {
	if l.stands(kind, subject) {
		l.withdrawn = append(l.withdrawn, conditionOf(kind, subject))
	}
}

func (l *look) report(kind Kind, subject, name, text string, details map[string]string) {
	maps.DeleteFunc(details, func(_, v string) bool { return v == "" })
	l.events = append(l.events, Event{Kind: kind, Subject: subject, Name: name, At: l.now, Text: text, Details: details})
}

// again asks for another look at a time.
func (l *look) again(at time.Time) {
	if l.due.IsZero() || at.Before(l.due) {
		l.due = at
	}
}

// stands reports whether a condition has been reported and is not over.
func (l *look) stands(kind Kind, subject string) bool {
	_, ok := l.standing[conditionOf(kind, subject)]
	return ok
}

// follow notes whether a subject is well. It returns its track, nil for none.
func (l *look) follow(subject string, bad bool) *track {
	t := l.tracked[subject]
	switch {
	case t == nil && !bad:
		return nil
	case t == nil:
		t = &track{}
		l.tracked[subject] = t
	}
	if t.bad != bad {
		t.bad, t.since = bad, l.now
		t.changes = append(t.changes, l.now)
	}
	t.seen = l.looks
	if !t.recently(l.now) && !t.bad {
		delete(l.tracked, subject)
		return nil
	}
	l.stable = false
	return t
}

// condition follows something that is well or not, and says whether kind has begun,
// for as long as settle, or is over. Of what flaps it says neither, but reports that.
func (l *look) condition(kind Kind, subject, name string, bad bool, settle time.Duration) (begun, over bool) {
	t := cmp.Or(l.follow(subject, bad), &track{})
	stands, flaps := l.stands(kind, subject), l.stands(Flapping, subject)
	l.stable = l.stable && !stands && !flaps
	var last time.Time // change
	if len(t.changes) > 0 {
		last = t.changes[len(t.changes)-1]
	}
	switch {
	case flaps && !last.IsZero():
		l.again(last.Add(flapWindow))
		return false, false
	case flaps:
		state := "well"
		if bad {
			state = "not well"
		}
		l.report(Settled, subject, name, quote(name)+" has settled and is "+state, nil)
	case len(t.changes) >= flapChanges:
		l.report(Flapping, subject, name, fmt.Sprintf("%s has changed %d times within %d minutes; nothing more is reported of it until it has not changed for as long",
			quote(name), len(t.changes), int(flapWindow.Minutes())), nil)
		l.again(last.Add(flapWindow))
		return false, false
	}
	if !bad || stands {
		return false, stands && !bad
	}
	if l.now.Sub(t.since) < settle {
		l.again(t.since.Add(settle))
		return false, false
	}
	return true, false
}

func (l *look) sourceEvents() {
	for _, src := range l.s.Sources {
		subject := subjectOf("source/" + src.Name)
		begun, over := l.condition(SourceStale, subject, src.Name, src.Stale, l.settle)
		if begun {
			text, last := "source "+quote(src.Name)+" does not answer; what it said before is served on", ""
			if src.LastSuccess.IsZero() {
				text = "source " + quote(src.Name) + " has never answered"
			} else {
				last = src.LastSuccess.UTC().Format(time.RFC3339)
			}
			l.report(SourceStale, subject, src.Name, text, map[string]string{"error": src.Error, "last success": last})
		}
		if over {
			l.report(SourceBack, subject, src.Name, "source "+quote(src.Name)+" answers again", nil)
		}
	}
}

func (l *look) nodeEvents() {
	alive := map[string]bool{} // sources with a node that is not down
	for _, n := range l.s.Nodes {
		alive[n.Source] = alive[n.Source] || n.State != "down"
	}
	for _, n := range l.s.Nodes {
		// Of a Swarm that answers, a manager is alive: one that gives every node up
		// has been elected a moment ago and has heard of none yet.
		if n.State == "down" && alive[n.Source] {
			l.down[n.ID] = true
		}
	}
	lost := l.lostInstances()
	for _, n := range l.s.Nodes {
		if !l.judged(n.Source) {
			continue
		}
		key := "node/" + n.ID
		subject := subjectOf(key)
		details := map[string]string{"id": n.ID, "address": n.Address, "role": n.Role, "source": n.Source}
		if l.known[key] == nil && l.news(n.Source) {
			l.report(NodeJoined, subject, n.Name, "node "+quote(n.Name)+" has joined", maps.Clone(details))
		}
		l.know(key, known{Name: n.Name, Source: n.Source})
		begun, over := l.condition(NodeDown, subject, n.Name, l.down[n.ID], 0)
		if begun {
			text := "node " + quote(n.Name) + " is down"
			if lost := lost[n.ID]; lost > 0 {
				details["instances"] = strconv.Itoa(lost)
				text += fmt.Sprintf(", and with it what ran there: %d", lost)
			}
			l.report(NodeDown, subject, n.Name, text, details)
		}
		if over && n.State == "ready" {
			l.report(NodeUp, subject, n.Name, "node "+quote(n.Name)+" is up again", details)
		}
	}
}

// lostInstances counts the instances by node that is down.
func (l *look) lostInstances() map[string]int {
	lost := map[string]int{}
	if len(l.down) == 0 {
		return lost
	}
	for _, s := range l.s.Services {
		for _, in := range s.Instances {
			if l.down[in.Node] && l.judged(s.Source) {
				lost[in.Node]++
			}
		}
	}
	return lost
}

// service looks at one service and its instances.
func (l *look) service(s *catalog.Service) {
	if !l.judged(s.Source) {
		return
	}
	key := "service/" + s.ID
	subject := subjectOf(key)
	if l.known[key] == nil && s.Image == "" && !s.Labelled() {
		l.instances(s) // containers of others come and go, such as those that build images
		return
	}
	k := known{Name: s.Name, Source: s.Source}
	if before := l.known[key]; before != nil {
		if before.stable == s && len(l.down) == 0 {
			before.seen = l.looks
			return
		}
		k.Image, k.Ready = before.Image, before.Ready
	} else if l.news(s.Source) {
		l.report(ServiceAppeared, subject, s.Name, "service "+quote(s.Name)+" was added", map[string]string{"image": s.Image, "source": s.Source})
	}
	l.stable = true
	ready := l.instances(s)
	wanted := s.Replicas == nil || *s.Replicas > 0
	k.Ready = k.Ready || ready > 0
	begun, over := l.condition(ServiceDown, subject, s.Name, k.Ready && wanted && ready == 0, l.settle)
	if begun {
		l.report(ServiceDown, subject, s.Name, "service "+quote(s.Name)+" has no instance that is ready",
			map[string]string{"source": s.Source, "instances": strconv.Itoa(len(s.Instances))})
	}
	if over {
		text := fmt.Sprintf("service %s is back, instances that are ready: %d", quote(s.Name), ready)
		if ready == 0 {
			text = "service " + quote(s.Name) + " is to have no instances any more"
		}
		l.report(ServiceUp, subject, s.Name, text, map[string]string{"source": s.Source})
	}
	if image := complete(s); image != "" && image != k.Image {
		if k.Image != "" {
			l.report(ServiceDeployed, subject, s.Name, fmt.Sprintf("service %s runs %s on all instances: %d", quote(s.Name), quote(image), ready),
				map[string]string{"image": image, "before": k.Image, "source": s.Source})
		}
		k.Image = image
	}
	if l.stable {
		k.stable = s
	}
	l.know(key, k)
}

// complete is the image of all instances, ready and as many as wanted; else empty.
func complete(s *catalog.Service) string {
	ready, image := 0, s.Image
	plain, _, _ := strings.Cut(image, "@")
	for _, in := range s.Instances {
		switch in.State {
		case catalog.StateStopped:
			continue
		case catalog.StateReady:
			ready++
		default:
			return ""
		}
		own, _, _ := strings.Cut(in.Image, "@")
		if image == "" {
			image, plain = in.Image, own
		}
		if own != plain {
			return ""
		}
	}
	if ready == 0 || s.Replicas != nil && ready < *s.Replicas {
		return ""
	}
	return image
}

// instanceSubject names an instance by its name, which its successor has again.
func instanceSubject(s *catalog.Service, in *catalog.Instance) string {
	return clean("instance/"+cmp.Or(in.Name, in.ID)+"@"+cmp.Or(in.Source, s.Source), maxSubject)
}

// instances looks at the instances of a service and counts those that are ready.
func (l *look) instances(s *catalog.Service) (ready int) {
	best := map[string]*catalog.Instance{} // by subject: during a deployment there may be two
	var order []string
	for _, in := range s.Instances {
		if in.State == catalog.StateReady {
			ready++
		}
		subject := instanceSubject(s, in)
		l.visited[subject] = true
		if l.down[in.Node] {
			l.stable = false
			if t := l.tracked[subject]; t != nil {
				t.seen = l.looks
			}
			continue // the node is what is wrong
		}
		if best[subject] == nil {
			order = append(order, subject)
		}
		if best[subject] == nil || in.State == catalog.StateReady {
			best[subject] = in
		}
	}
	for _, subject := range order {
		l.instance(s, subject, best[subject])
	}
	return ready
}

func (l *look) instance(s *catalog.Service, subject string, in *catalog.Instance) {
	switch in.State {
	case catalog.StateReady, catalog.StateUnhealthy:
	case catalog.StateStarting, catalog.StateStopped:
		l.follow(subject, true) // to come and go is to flap, too
		return
	default: // paused or leaving: an operator wants it so
		if t := l.tracked[subject]; t != nil {
			t.seen = l.looks
		}
		return
	}
	name := cmp.Or(in.Name, in.ID)
	begun, over := l.condition(InstanceUnhealthy, subject, name, in.State == catalog.StateUnhealthy, l.settle)
	details := map[string]string{"service": s.Name, "id": in.ID, "node": in.Node, "image": in.Image, "reason": in.StateReason}
	if begun {
		l.report(InstanceUnhealthy, subject, name, "instance "+quote(name)+" of service "+quote(s.Name)+" is unhealthy", details)
	}
	if over {
		l.report(InstanceHealthy, subject, name, "instance "+quote(name)+" of service "+quote(s.Name)+" is healthy again", details)
	}
}

// forgetGone reports what is gone, as far as its source answers, and drops its track.
func (l *look) forgetGone() {
	var gone []string
	for key, k := range l.known {
		if _, configured := l.sources[k.Source]; !configured {
			l.forget(key) // its source was removed from the configuration
		} else if k.seen != l.looks && l.judged(k.Source) && !strings.HasPrefix(key, "source/") {
			gone = append(gone, key)
		}
	}
	slices.Sort(gone)
	for _, key := range gone {
		k := l.known[key]
		kind, text := ServiceGone, "service "+quote(k.Name)+" was removed"
		if strings.HasPrefix(key, "node/") {
			kind, text = NodeLeft, "node "+quote(k.Name)+" has left"
		}
		l.report(kind, subjectOf(key), k.Name, text, map[string]string{"source": k.Source})
		l.forget(key)
	}
	for subject, t := range l.tracked {
		if !t.recently(l.now) && t.seen != l.looks && l.judged(sourceOf(subject)) {
			delete(l.tracked, subject)
		}
	}
	l.forgetInstances()
}

// sourceOf is the source of an instance's subject.
func sourceOf(subject string) string { return subject[strings.LastIndex(subject, "@")+1:] }

// forgetInstances ends what stands of instances that are not there any more.
func (l *look) forgetInstances() {
	for _, condition := range slices.Sorted(maps.Keys(l.standing)) {
		e := l.standing[condition]
		switch {
		case !strings.HasPrefix(e.Subject, "instance/"), !l.judged(sourceOf(e.Subject)), l.visited[e.Subject]:
		case e.Kind == InstanceUnhealthy:
			l.report(InstanceHealthy, e.Subject, e.Name, "instance "+quote(e.Name)+", which was unhealthy, is gone", nil)
		default:
			l.withdraw(e.Kind, e.Subject)
		}
	}
}
