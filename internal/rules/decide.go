package rules

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"fairway/internal/catalog"
)

const (
	// gap is how long nothing may be known until what was known counts no more.
	gap = time.Minute
	// forgotten is how long nothing is known of a subject until it is given up.
	forgotten = 10 * time.Minute
)

// rule is a Rule at work.
type rule struct {
	Rule
	condition Condition
	subjects  map[string]*subject
}

// subject is how a rule stands with one subject.
type subject struct {
	value Value
	known time.Time // when value was
	// since is when the condition began to hold, or to cease once fired; zero for neither.
	since   time.Time
	fired   time.Time // zero: it has not
	drain   bool      // it was drained by the rule
	refused string    // why something is not done, as reported
	fault   string    // why it failed, as reported
}

// memory is what the rules know between two moments.
type memory struct {
	rules []*rule
	// scaled is when each service was last changed by a rule.
	scaled map[string]time.Time
	began  time.Time
}

// What an action does.
type doing string

const (
	doFire    doing = "fired"
	doClear   doing = "cleared"
	doDrain   doing = "drain"
	doUndrain doing = "undrain"
	doScale   doing = "scale"
	doRefuse  doing = "refuse" // something asked for is not done; the text says why
)

// action is one thing to be done.
type action struct {
	doing   doing
	rule    *rule
	subject *subject
	text    string
	// service, from and to are for scale.
	service  string
	from, to int
}

// decide says what is to be done now. It changes the memory as if it were done.
func (m *memory) decide(w *World) []action {
	var list []action
	for _, r := range m.rules {
		seen := map[string]bool{}
		for _, v := range kinds[r.condition.Metric].read(w) {
			if !r.chooses(v) {
				continue
			}
			seen[v.Subject] = true
			if r.subjects[v.Subject] == nil {
				r.subjects[v.Subject] = &subject{value: v}
			}
			list = append(list, r.step(r.subjects[v.Subject], v, w.Now)...)
		}
		for _, id := range slices.Sorted(maps.Keys(r.subjects)) {
			if s := r.subjects[id]; !seen[id] {
				list = append(list, r.step(s, Value{id, s.value.Name, unknown()}, w.Now)...)
			}
			if s := r.subjects[id]; !seen[id] && s.fired.IsZero() && !s.drain && w.Now.Sub(s.known) > forgotten {
				delete(r.subjects, id)
			}
		}
		switch r.Do {
		case DoDrain:
			list = append(list, r.drains(w)...)
		case DoScale:
			list = append(list, m.scales(r, w)...)
		}
	}
	return list
}

// step takes the newest value of a subject, and fires or clears.
func (r *rule) step(s *subject, v Value, now time.Time) []action {
	if math.IsNaN(v.Number) {
		if s.known.IsZero() {
			s.known = now // it is waited for from now on
		}
		if now.Sub(s.known) > gap {
			s.since = time.Time{}
		}
		if !s.fired.IsZero() && now.Sub(s.known) > forgotten {
			s.fired, s.since = time.Time{}, time.Time{}
			return []action{{doing: doClear, rule: r, subject: s, text: fmt.Sprintf("rule %s: nothing is known of %s any more", r.Name, s.value.Name)}}
		}
		return nil
	}
	if !s.known.IsZero() && now.Sub(s.known) > gap {
		s.since = time.Time{}
	}
	s.value, s.known = v, now
	holds := r.condition.holds(v.Number, !s.fired.IsZero())
	if holds != s.fired.IsZero() { // it is as it was
		s.since = time.Time{}
		return nil
	}
	if s.since.IsZero() {
		s.since = now
	}
	if now.Sub(s.since) < r.condition.For {
		return nil
	}
	s.since = time.Time{}
	shown := ""
	if unit := kinds[r.condition.Metric].unit; unit != unitFlag {
		shown = " " + unit.shown(v.Number)
	}
	if holds {
		s.fired = now
		return []action{{doing: doFire, rule: r, subject: s, text: fmt.Sprintf("rule %s: %s of %s is%s (%s)", r.Name, r.condition.Metric, v.Name, shown, r.condition)}}
	}
	s.fired = time.Time{}
	text := fmt.Sprintf("rule %s: %s of %s is%s again", r.Name, r.condition.Metric, v.Name, shown)
	if shown == "" {
		text = fmt.Sprintf("rule %s: %s of %s is over", r.Name, r.condition.Metric, v.Name)
	}
	return []action{{doing: doClear, rule: r, subject: s, text: text}}
}

// drains decides what to drain and what no longer, within Most, and never the last.
func (r *rule) drains(w *World) []action {
	var list []action
	drained := 0
	for _, s := range r.subjects {
		if s.drain {
			drained++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.subjects)) {
		s := r.subjects[id]
		switch {
		case s.drain && s.fired.IsZero():
			s.drain, s.refused = false, ""
			list = append(list, action{doing: doUndrain, rule: r, subject: s, text: fmt.Sprintf("rule %s: %s is no longer drained", r.Name, s.value.Name)})
		case s.drain || s.fired.IsZero():
		case drained >= max(1, r.Most):
			list = append(list, r.refuse(s, fmt.Sprintf("as many as the rule may are drained: %d", drained))...)
		case r.last(s, w):
			list = append(list, r.refuse(s, "it is the last that is ready")...)
		default:
			s.drain, s.refused = true, ""
			drained++
			list = append(list, action{doing: doDrain, rule: r, subject: s, text: fmt.Sprintf("rule %s: %s is drained", r.Name, s.value.Name)})
		}
	}
	return list
}

// refuse reports once that something is not done.
func (r *rule) refuse(s *subject, why string) []action {
	if s.refused == why {
		return nil
	}
	s.refused = why
	return []action{{doing: doRefuse, rule: r, subject: s, text: fmt.Sprintf("rule %s: nothing is done about %s: %s", r.Name, s.value.Name, why)}}
}

// last is true when no other node, or instance of the service, is ready.
func (r *rule) last(s *subject, w *World) bool {
	switch r.condition.Metric.thing() {
	case "node":
		return !slices.ContainsFunc(w.Snapshot.Nodes, func(n *catalog.Node) bool {
			other := r.subjects[n.ID]
			return n.ID != s.value.Subject && n.State == "ready" && (other == nil || !other.drain)
		})
	case "instance":
		for _, service := range w.Snapshot.Services {
			if !slices.ContainsFunc(service.Instances, func(in *catalog.Instance) bool { return instanceID(service, in) == s.value.Subject }) {
				continue
			}
			return !slices.ContainsFunc(service.Instances, func(in *catalog.Instance) bool {
				id := instanceID(service, in)
				other := r.subjects[id]
				return id != s.value.Subject && in.State == catalog.StateReady && (other == nil || !other.drain)
			})
		}
	}
	return false
}

// scales decides which services get another number of instances.
func (m *memory) scales(r *rule, w *World) []action {
	var list []action
	for _, id := range slices.Sorted(maps.Keys(r.subjects)) {
		s := r.subjects[id]
		if s.fired.IsZero() {
			s.refused = ""
			continue
		}
		name := cmp.Or(r.Service, id)
		i := slices.IndexFunc(w.Snapshot.Services, func(service *catalog.Service) bool { return service.ID == name || service.Name == name })
		if i < 0 {
			list = append(list, r.refuse(s, "there is no service "+name)...)
			continue
		}
		service := w.Snapshot.Services[i]
		if service.Replicas == nil {
			list = append(list, r.refuse(s, "service "+service.Name+" has no number of instances that could be changed")...)
			continue
		}
		since, ok := m.scaled[service.ID]
		if !ok {
			since = m.began
		}
		to := target(*service.Replicas, r.Step, r.Min, r.Max)
		switch {
		case w.Now.Sub(since) < r.cooldown() || !w.answers(service.Source):
			continue // later, if it still is so
		case to == *service.Replicas:
			list = append(list, r.refuse(s, fmt.Sprintf("service %s has %d instances, and the rule may set %d to %d", service.Name, to, r.Min, r.Max))...)
			continue
		}
		s.refused = ""
		m.scaled[service.ID] = w.Now
		list = append(list, action{
			doing: doScale, rule: r, subject: s, service: service.ID, from: *service.Replicas, to: to,
			text: fmt.Sprintf("rule %s: service %s is scaled from %d to %d", r.Name, service.Name, *service.Replicas, to),
		})
	}
	return list
}

// target is where a step leads from now: within the bounds, never the other way.
func target(now, step, low, high int) int {
	step = cmp.Or(step, 1)
	to := min(max(now+step, low), high)
	if step > 0 && to < now || step < 0 && to > now {
		return now
	}
	return to
}

func (r *rule) cooldown() time.Duration { return cmp.Or(r.Cooldown, defaultCooldown) }
