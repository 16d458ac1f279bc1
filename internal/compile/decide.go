package compile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// originOf is where the labels of an instance of the plan are from.
func (pl *plan) originOf(in *catalog.Instance) route.Origin {
	return route.Origin{Source: chars.Printable(cmp.Or(in.Source, pl.service.Source)), Instance: chars.Printable(in.Name)}
}

// choose reads the labels of a dialect that count: the service's own, or else those of
// the newest instance. It puts the problems of instances whose labels differ into the
// plan, and returns nil when the service asks for nothing.
func choose(pl *plan, by dialect) *asked {
	s := pl.service
	a := &asked{dialect: by, origin: route.Origin{Source: chars.Printable(s.Source)}}
	if catalog.HaveLabels(s.Labels, by.Prefix()) {
		a.reading = by.Read(s, s.Labels)
		for _, in := range s.Instances {
			a.members = append(a.members, member{in, nil})
		}
	} else if decider := decidingInstance(s, by.Prefix()); decider != nil && !s.OwnLabels {
		a.reading, a.origin = by.Read(s, decider.Labels), pl.originOf(decider)
		a.compare(pl, decider)
	}
	if !a.reading.Wanted {
		return nil
	}
	return a
}

// compare reads the labels of all instances, and notes which of them may serve.
func (a *asked) compare(pl *plan, decider *catalog.Instance) {
	for _, in := range pl.service.Instances {
		theirs := a.reading
		if in != decider {
			theirs = a.dialect.Read(pl.service, in.Labels)
		}
		serves := theirs.Wanted && a.reading.Wanted
		if serves {
			a.members = append(a.members, member{in, theirs.Own})
		}
		if key, differs := firstDifference(a.reading.Says, theirs.Says); differs && liveness(in) == isRunning && (a.reading.Wanted || theirs.Wanted) {
			pl.problems = append(pl.problems, differProblem(pl, in, decider, key, serves))
		}
	}
}

// decidingInstance returns the instance whose labels count: the newest of those
// that are best off. It is nil when none has a label with the prefix.
func decidingInstance(s *catalog.Service, prefix string) *catalog.Instance {
	if !slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return catalog.HaveLabels(in.Labels, prefix) }) {
		return nil
	}
	return slices.MaxFunc(s.Instances, compareInstances)
}

// misplaced reports labels of instances that have no effect because those of the
// service count, as in Swarm; once for a service.
func (p planner) misplaced(pl *plan) {
	if !pl.service.OwnLabels {
		return
	}
	for _, in := range pl.service.Instances {
		for _, key := range slices.Sorted(maps.Keys(in.Labels)) {
			if !slices.ContainsFunc(p.dialects, func(d dialect) bool { return catalog.HasPrefix(key, d.Prefix()) }) {
				continue
			}
			pl.problems = append(pl.problems, pl.problem(pl.originOf(in), "", key, draft.Refuse(
				route.CodeUnsupported, "labels of containers are not read in Swarm, where they belong to the service",
				"in a stack file write them under deploy.labels, or run: docker service update --label-add "+chars.Printable(key)+"=… "+chars.Printable(pl.service.Name),
			)))
			return
		}
	}
}

// How much an instance lives: the newest of those that are best off decides.
const (
	isStopped = iota
	isLeaving
	isRunning
)

func liveness(in *catalog.Instance) int {
	switch in.State {
	case catalog.StateStopped:
		return isStopped
	case catalog.StateLeaving:
		return isLeaving
	}
	return isRunning
}

func compareInstances(a, b *catalog.Instance) int {
	return cmp.Or(
		cmp.Compare(liveness(a), liveness(b)),
		a.Created.Compare(b.Created),
		strings.Compare(a.ID, b.ID),
		strings.Compare(a.Source, b.Source),
	)
}

// firstDifference returns the first key that is not the same: those of a in the
// alphabet, then those of b.
func firstDifference(a, b map[string]string) (key string, differs bool) {
	for _, k := range slices.Concat(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
		x, inA := a[k]
		y, inB := b[k]
		if inA != inB || x != y {
			return k, true
		}
	}
	return "", false
}

func differProblem(pl *plan, in, decider *catalog.Instance, key string, serves bool) route.Problem {
	text := fmt.Sprintf("its labels differ from those of %s, which is newer and decides: %s", chars.Printable(decider.Name), chars.Printable(key))
	hint := "give all instances the same labels; this goes away by itself at the end of an update"
	if !serves {
		text += "; this instance gets no requests"
	}
	return pl.problem(pl.originOf(in), "", "",
		draft.Refuse(route.CodeDiffer, text, hint))
}

// flowIsOff reports labels of Docker Flow that ask for something while they are not
// read, once for a service that runs. One that has labels of Fairway goes by those.
func (p planner) flowIsOff(pl *plan) {
	s := pl.service
	runs := false
	for _, in := range s.Instances {
		if catalog.HaveLabels(in.Labels, catalog.LabelPrefix) {
			return
		}
		runs = runs || liveness(in) == isRunning
	}
	if !runs || catalog.HaveLabels(s.Labels, catalog.LabelPrefix) {
		return
	}
	a := choose(&plan{service: s}, dockerflow.New(dockerflow.Options{}, p.ports()))
	if a == nil {
		return
	}
	key := slices.Min(slices.Collect(maps.Keys(a.reading.Says)))
	pl.problems = append(pl.problems, pl.problem(a.origin, "", key, draft.Refuse(
		route.CodeUnsupported, "labels of Docker Flow are not read", hintFlowIsOff,
	)))
}

// hintFlowIsOff says how labels of Docker Flow are read.
const hintFlowIsOff = "set dockerflow.labels to true (--dockerflow.labels), write labels of Fairway, or take these off"
