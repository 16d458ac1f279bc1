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
// newest instance. It returns the instances that may serve, too, and puts the
// problems of instances whose labels differ into the plan. The set is nil when the
// service asks for nothing.
func (p planner) decide(pl *plan) (*labelSet, origin, []member) {
	s := pl.service
	if hasLabels(s.Labels, prefix) {
		set := p.dialect.read(s.Labels)
		if !set.enabled() {
			return nil, origin{}, nil
		}
		return set, origin{source: printable(s.Source)}, allMembers(s)
	}
	decider := decidingInstance(s, prefix)
	if decider == nil {
		return nil, origin{}, nil
	}
	set := p.dialect.read(decider.Labels)
	decides := set.enabled() && !set.empty()
	asked := routeLevel(set)
	var members []member
	for _, in := range s.Instances {
		theirs := set
		if in != decider {
			theirs = p.dialect.read(in.Labels)
		}
		serves := theirs.enabled() && !theirs.empty()
		if serves && decides {
			members = append(members, member{in, theirs})
		}
		if key, differs := firstDifference(asked, routeLevel(theirs)); differs && rank(in) == rankRunning {
			pl.problems = append(pl.problems, differProblem(pl, in, decider, prefix+key, serves && decides))
		}
	}
	if !decides {
		return nil, origin{}, nil
	}
	return set, pl.originOf(decider), members
}

// allMembers are the instances of a service whose own labels hold for all of them.
func allMembers(s *catalog.Service) []member {
	members := make([]member, 0, len(s.Instances))
	for _, in := range s.Instances {
		members = append(members, member{in, nil})
	}
	return members
}

// decidingInstance returns the instance whose labels count: the newest of those
// that are best off. It is nil when none has a label with the prefix, and where
// the labels of the service count.
func decidingInstance(s *catalog.Service, prefix string) *catalog.Instance {
	if s.OwnLabels {
		return nil
	}
	var decider *catalog.Instance
	labelled := false
	for _, in := range s.Instances {
		labelled = labelled || hasLabels(in.Labels, prefix)
		if decider == nil || compareInstances(in, decider) > 0 {
			decider = in
		}
	}
	if !labelled {
		return nil
	}
	return decider
}

// misplaced reports labels that are on the containers of a Swarm service, where
// they have no effect; once for a service.
func (p planner) misplaced(pl *plan) {
	if !pl.service.OwnLabels {
		return
	}
	for _, in := range pl.service.Instances {
		for _, key := range slices.Sorted(maps.Keys(in.Labels)) {
			if !hasPrefix(key, prefix) && (p.flow == nil || !hasPrefix(key, flowPrefix)) {
				continue
			}
			pl.problems = append(pl.problems, pl.problem(pl.originOf(in), "", key, &refusal{
				route.CodeUnsupported, "labels of containers are not read in Swarm, where they belong to the service",
				"in a stack file write them under deploy.labels, or run: docker service update --label-add " + printable(key) + "=… " + printable(pl.service.Name),
			}))
			return
		}
	}
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
	text := fmt.Sprintf("its labels differ from those of %s, which is newer and decides: %s", printable(decider.Name), printable(key))
	hint := "give all instances the same labels; this goes away by itself at the end of an update"
	if !serves {
		text += "; this instance gets no requests"
	}
	return pl.problem(pl.originOf(in), "", "",
		&refusal{route.CodeDiffer, text, hint})
}
