package compile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// origin is where the labels of a service are from. instance is empty when they
// are the service's own.
type origin struct{ source, instance string }

// originOf is where the labels of an instance of the plan are from.
func (pl *plan) originOf(in *catalog.Instance) origin {
	return origin{printable(cmp.Or(in.Source, pl.service.Source)), printable(in.Name)}
}

// decide finds the labels that count: the service's own, or else those of the
// newest instance. It fills in the members, and the problems of instances whose
// labels differ. The set is nil when the service asks for nothing.
func (p planner) decide(s *catalog.Service, pl *plan) (*labelSet, origin) {
	if hasLabels(s.Labels) {
		set := p.dialect.read(s.Labels)
		if !set.enabled() {
			return nil, origin{}
		}
		for _, in := range s.Instances {
			pl.members = append(pl.members, member{in, nil})
		}
		return set, origin{source: printable(s.Source)}
	}
	var decider *catalog.Instance
	labelled := false
	for _, in := range s.Instances {
		labelled = labelled || hasLabels(in.Labels)
		if decider == nil || compareInstances(in, decider) > 0 {
			decider = in
		}
	}
	if !labelled {
		return nil, origin{}
	}
	set := p.dialect.read(decider.Labels)
	decides := set.enabled() && !set.empty()
	asked := routeLevel(set)
	for _, in := range s.Instances {
		theirs := set
		if in != decider {
			theirs = p.dialect.read(in.Labels)
		}
		serves := theirs.enabled() && !theirs.empty()
		if serves && decides {
			pl.members = append(pl.members, member{in, theirs})
		}
		if key, differs := firstDifference(asked, routeLevel(theirs)); differs && rank(in) == rankRunning {
			pl.problems = append(pl.problems, differProblem(pl, in, decider, key, serves && decides))
		}
	}
	if !decides {
		return nil, origin{}
	}
	return set, pl.originOf(decider)
}

// The ranks of instances: the newest of the highest rank decides.
const (
	rankStopped = iota
	rankLeaving
	rankRunning
)

func rank(in *catalog.Instance) int {
	switch in.State {
	case catalog.StateStopped:
		return rankStopped
	case catalog.StateLeaving:
		return rankLeaving
	}
	return rankRunning
}

// compareInstances orders instances by how much their labels count.
func compareInstances(a, b *catalog.Instance) int {
	return cmp.Or(
		cmp.Compare(rank(a), rank(b)),
		a.Created.Compare(b.Created),
		strings.Compare(a.ID, b.ID),
		strings.Compare(a.Source, b.Source),
	)
}

// routeLevel is what labels say about routes, and not about their own instance,
// by key.
func routeLevel(set *labelSet) map[string]string {
	all := map[string]string{}
	for _, l := range set.service {
		if l.local != "service" {
			all[l.local] = l.value
		}
	}
	for _, r := range set.routes {
		front := ""
		if r.name != "" {
			front = r.name + "."
		}
		for _, l := range r.labels {
			if l.key == nil || l.key.scope != scopeInstance {
				all[front+l.local] = l.value
			}
		}
	}
	return all
}

// firstDifference returns the first key, in the alphabet, that is not the same.
func firstDifference(a, b map[string]string) (key string, differs bool) {
	if maps.Equal(a, b) {
		return "", false
	}
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if v, has := b[k]; !has || v != a[k] {
			return k, true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if _, has := a[k]; !has {
			return k, true
		}
	}
	return "", false
}

func differProblem(pl *plan, in, decider *catalog.Instance, key string, serves bool) route.Problem {
	text := fmt.Sprintf("its labels differ from those of %s, which is newer and decides: %s", printable(decider.Name), printable(prefix+key))
	hint := "give all instances the same labels; this goes away by itself at the end of an update"
	if !serves {
		text += "; this instance gets no requests"
	}
	return pl.problem(pl.originOf(in), "", nil,
		&refusal{route.CodeDiffer, text, hint})
}
