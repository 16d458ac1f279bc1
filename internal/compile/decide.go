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

// origin is where the labels of a service are from. instance is empty when they
// are the service's own.
type origin struct{ source, instance string }

// originOf is where the labels of an instance of the plan are from.
func (pl *plan) originOf(in *catalog.Instance) origin {
	return origin{chars.Printable(cmp.Or(in.Source, pl.service.Source)), chars.Printable(in.Name)}
}

// choose finds the labels of a dialect that count: the service's own, or else those of
// the newest instance. It returns the instances that may serve, too, and puts the
// problems of instances whose labels differ into the plan. The reading is nil when the
// service asks for nothing.
func choose(pl *plan, by dialect) (*draft.Reading, origin, []member) {
	s := pl.service
	own := catalog.HaveLabels(s.Labels, by.Prefix())
	if !own && s.OwnLabels {
		return nil, origin{}, nil
	}
	if own {
		reading := by.Read(s, s.Labels)
		if !reading.Wanted {
			return nil, origin{}, nil
		}
		members := make([]member, 0, len(s.Instances))
		for _, in := range s.Instances {
			members = append(members, member{in, nil})
		}
		return &reading, origin{source: chars.Printable(s.Source)}, members
	}
	decider := decidingInstance(s, by.Prefix())
	if decider == nil {
		return nil, origin{}, nil
	}
	reading := by.Read(s, decider.Labels)
	var members []member
	for _, in := range s.Instances {
		theirs := reading
		if in != decider {
			theirs = by.Read(s, in.Labels)
		}
		serves := theirs.Wanted && reading.Wanted
		if serves {
			members = append(members, member{in, &theirs})
		}
		if key, differs := firstDifference(reading.Says, theirs.Says); differs && rank(in) == rankRunning && (reading.Wanted || theirs.Wanted) {
			pl.problems = append(pl.problems, differProblem(pl, in, decider, key, serves))
		}
	}
	if !reading.Wanted {
		return nil, origin{}, nil
	}
	return &reading, pl.originOf(decider), members
}

// decidingInstance returns the instance whose labels count: the newest of those
// that are best off. It is nil when none has a label with the prefix.
func decidingInstance(s *catalog.Service, prefix string) *catalog.Instance {
	var decider *catalog.Instance
	labelled := false
	for _, in := range s.Instances {
		labelled = labelled || catalog.HaveLabels(in.Labels, prefix)
		if decider == nil || compareInstances(in, decider) > 0 {
			decider = in
		}
	}
	if !labelled {
		return nil
	}
	return decider
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
		runs = runs || rank(in) == rankRunning
	}
	if !runs || catalog.HaveLabels(s.Labels, catalog.LabelPrefix) {
		return
	}
	reading, from, _ := choose(&plan{service: s}, dockerflow.New(dockerflow.Options{}, p.ports()))
	if reading == nil {
		return
	}
	key := slices.Min(slices.Collect(maps.Keys(reading.Says)))
	pl.problems = append(pl.problems, pl.problem(from, "", key, draft.Refuse(
		route.CodeUnsupported, "labels of Docker Flow are not read", hintFlowIsOff,
	)))
}

// hintFlowIsOff says how labels of Docker Flow are read.
const hintFlowIsOff = "set dockerflow.labels to true (--dockerflow.labels), write labels of Fairway, or take these off"
