package deploy

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"fairway/internal/deploy/marks"
)

// Next returns the steps that come next; none where everything is as it must be. Those of one
// slot are done in order, those of several at once. After them it is asked again.
func Next(w Want, o Observation) []Step {
	p := planner{w, o}
	slots, prune := p.slots(), p.prune()
	held := o.Lock != nil && o.Lock.Run == w.Run
	switch {
	case len(slots) == 0 && len(prune) == 0 && o.Lock == nil:
		return nil
	case !held && !o.Image && slices.ContainsFunc(slots, func(s Step) bool { return s.Kind == Create || s.Kind == Rename }) && w.Create:
		return []Step{{Kind: Pull}}
	case !held:
		return []Step{{Kind: TakeOn, To: w.Name.Lock()}}
	case len(slots) > 0 && w.Create && len(o.Missing) > 0:
		var steps []Step
		for _, what := range o.Missing {
			steps = append(steps, Step{Kind: Prepare, To: what})
		}
		return steps
	case len(slots) > 0:
		return slots
	}
	var end []Step
	if len(w.Slots) > 0 {
		end = append(end, Step{Kind: Settle})
	}
	return append(append(end, prune...), Step{Kind: Release, To: w.Name.Lock()})
}

// planner says what is left to do.
type planner struct {
	Want
	Observation
}

// slots returns the steps of the first slots that are not as they must be: wanted ones first,
// then those that go, the highest first.
func (p planner) slots() (steps []Step) {
	wanted := slices.Sorted(maps.Keys(p.Slots))
	var gone []int
	for _, in := range p.Instances {
		if _, ok := p.Slots[in.Slot]; !ok && !slices.Contains(gone, in.Slot) {
			gone = append(gone, in.Slot)
		}
	}
	slices.Sort(gone)
	slices.Reverse(gone)
	for _, slot := range wanted { // first those serve again that can at once
		if t := p.pick(slot); t != nil && t.runs() && (t.Mark == marks.Leaving || t.Mark == marks.Kept) {
			steps = append(steps, p.slot(slot)...)
		}
	}
	if len(steps) > 0 {
		return steps
	}
	// Then come the slots in which nothing serves.
	slices.SortStableFunc(wanted, func(a, b int) int { return cmp.Compare(p.serving(a), p.serving(b)) })
	busy := 0
	for _, slot := range slices.Concat(wanted, gone) {
		if next := p.slot(slot); len(next) > 0 {
			steps = append(steps, next...)
			if busy++; busy >= max(1, p.Parallel) {
				break
			}
		}
	}
	return steps
}

// serving counts the instances of a slot that may take requests.
func (p planner) serving(slot int) (n int) {
	for _, in := range p.Instances {
		if in.Slot == slot && in.runs() && in.Mark != marks.Leaving {
			n++
		}
	}
	return min(n, 1)
}

// rank orders the instances of a slot by how near they are to serve.
func rank(in *Instance) int {
	switch {
	case in.Mark == marks.Failed:
		return 9
	case in.Mark == marks.Kept && in.State != Running:
		return 8
	case in.State == Running:
		return map[marks.Kind]int{marks.Old: 1, marks.Kept: 2, marks.Leaving: 3}[in.Mark]
	case in.Mark == marks.None:
		return 4
	}
	return 5
}

// pick returns the instance that is to serve, or nil.
func (p planner) pick(slot int) *Instance {
	target, wanted := p.Slots[slot]
	var best *Instance
	for i := range p.Instances {
		in := &p.Instances[i]
		// A new one is made: one that was started by hand leaves, and one that another run has
		// made and not started may lack networks and files.
		not := p.Create && (in.Mark == marks.Kept || in.State == Created && in.Run != p.Run)
		if !wanted || in.Slot != slot || in.Digest != target.Digest || in.Mark == marks.Failed || not {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(rank(in), rank(best)), best.Created.Compare(in.Created)) < 0 {
			best = in
		}
	}
	return best
}

// rest returns the instances of a slot that are to go; kept ones that do not run stay.
func (p planner) rest(slot int, but *Instance) (list []*Instance) {
	for i := range p.Instances {
		in := &p.Instances[i]
		stays := (in.Mark == marks.Kept || in.Mark == marks.Failed) && !in.runs()
		if in.Slot == slot && in != but && !stays {
			list = append(list, in)
		}
	}
	return list
}

// mayRest is true for an instance that does not run, and did not before the deploy.
func (p planner) mayRest(in *Instance) bool {
	return in != nil && !in.runs() && p.back && p.Slots[in.Slot].Rests
}

func (p planner) slot(slot int) []Step {
	t := p.pick(slot)
	others := p.rest(slot, t)
	if _, wanted := p.Slots[slot]; !wanted {
		return p.takeOut(slot, others, true)
	}
	base := p.base(slot)
	holder := slices.IndexFunc(others, func(in *Instance) bool { return in.Name == base })
	rests := p.mayRest(t)
	if p.StopFirst && (t == nil && p.Create || t != nil && !t.runs() && !rests) {
		if out := p.takeOut(slot, others, false); len(out) > 0 {
			return out
		}
	}
	switch {
	case t == nil && !p.Create:
		return nil // there is nothing that it could be
	case t == nil && holder >= 0:
		return []Step{p.rename(others[holder], marks.Of(marks.Old, others[holder].ID).On(base), "it is replaced")}
	case t == nil:
		return []Step{{Kind: Create, Slot: slot, To: base}}
	case t.runs() && (t.Mark == marks.Leaving || t.Mark == marks.Kept):
		to := base
		if holder >= 0 {
			to = marks.Of(marks.Old, t.ID).On(base)
		}
		return []Step{p.rename(t, to, "it serves again")}
	case !t.runs() && !rests:
		return []Step{{Kind: Start, Slot: slot, Instance: t.ID, Name: t.Name}}
	}
	then := p.takeOut(slot, others, true)
	policy := cmp.Or(t.Serving, p.Slots[slot].Restart)
	if p.Create {
		policy = cmp.Or(p.Slots[slot].Restart, t.Serving)
	}
	switch {
	case len(then) > 0:
	case t.Name != base:
		then = []Step{p.rename(t, base, "")}
	case policy != "" && t.Restart != policy:
		then = []Step{{Kind: Policy, Slot: slot, Instance: t.ID, Name: t.Name, To: policy}}
	}
	if len(then) == 0 || t.confirmed || rests {
		return then
	}
	return append(confirm(t), then...)
}

// confirm waits until an instance is ready and takes requests.
func confirm(in *Instance) []Step {
	return []Step{
		{Kind: Ready, Slot: in.Slot, Instance: in.ID, Name: in.Name},
		{Kind: Routed, Slot: in.Slot, Instance: in.ID, Name: in.Name},
	}
}

func (p planner) rename(in *Instance, to, why string) Step {
	return Step{Kind: Rename, Slot: in.Slot, Instance: in.ID, Name: in.Name, To: to, Why: why}
}

// takeOut takes instances out: first they get nothing new, then they stop, and with dispose
// what is left of them is kept or removed.
func (p planner) takeOut(slot int, list []*Instance, dispose bool) []Step {
	var leave, stop, gone []Step
	_, wanted := p.Slots[slot]
	for _, in := range list {
		base := p.base(slot)
		step := Step{Slot: slot, Instance: in.ID, Name: in.Name}
		switch {
		case in.runs() && in.Mark != marks.Leaving:
			step.Kind, step.To = Leave, marks.Gone(in.Started).On(base)
			leave = append(leave, step)
		case in.runs():
			step.Kind = Drained
			stop = append(stop, step)
			step.Kind = Stop
			stop = append(stop, step)
		case p.Replaced == KeptForALook && wanted:
			step.Kind, step.To = Keep, marks.Of(marks.Failed, in.ID).On(base)
			gone = append(gone, step)
		case p.Replaced == KeepStopped && in.State == Stopped: // prune removes it once all runs
			step.Kind, step.To = Keep, marks.Of(marks.Kept, in.ID).On(base)
			gone = append(gone, step)
		default:
			step.Kind = Delete
			gone = append(gone, step)
		}
	}
	switch {
	case len(leave) > 0:
		return leave
	case len(stop) > 0:
		return stop
	case dispose:
		return gone
	}
	return nil
}

// prune removes kept instances beyond those that may stay, and failed ones of earlier runs.
func (p planner) prune() (steps []Step) {
	kept := map[int][]*Instance{}
	for i := range p.Instances {
		in := &p.Instances[i]
		if in.runs() || in.Mark != marks.Kept && in.Mark != marks.Failed || !p.Create && !p.Everything && in.Mark == marks.Failed {
			continue
		}
		if in == p.pick(in.Slot) {
			continue
		}
		kept[in.Slot] = append(kept[in.Slot], in)
	}
	for _, slot := range slices.Sorted(maps.Keys(kept)) {
		list := kept[slot]
		slices.SortFunc(list, func(a, b *Instance) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
		})
		stay := p.Want.Keep
		if _, wanted := p.Slots[slot]; !wanted && p.Create || p.Everything {
			stay = 0
		}
		for i, in := range list {
			if i >= stay || in.Mark == marks.Failed {
				steps = append(steps, Step{Kind: Delete, Slot: slot, Instance: in.ID, Name: in.Name, Why: "no longer kept"})
			}
		}
	}
	return steps
}

// errEndless is the error of a plan that does not end, which is a fault of this package.
var errEndless = errors.New("the plan does not end")

// Plan returns all steps that are left, by doing them in memory.
func Plan(w Want, o Observation) (steps []Step, err error) {
	o.Instances = slices.Clone(o.Instances)
	for range 40 * (2 + len(o.Instances) + len(w.Slots)) {
		next := Next(w, o)
		if len(next) == 0 {
			return steps, nil
		}
		for _, s := range next {
			o = done(w, o, s)
		}
		steps = append(steps, next...)
	}
	return steps, errEndless
}

// done is what is observed after a step.
func done(w Want, o Observation, s Step) Observation {
	in := o.Find(s.Instance)
	switch s.Kind {
	case Pull:
		o.Image = true
	case TakeOn:
		from := o.Now()
		if o.Lock != nil {
			from = o.Lock.From
		}
		o.Lock = &Lock{Run: w.Run, From: from}
	case Prepare:
		o.Missing = slices.DeleteFunc(slices.Clone(o.Missing), func(m string) bool { return m == s.To })
	case Create:
		target := w.Slots[s.Slot]
		o.Instances = append(o.Instances, Instance{
			ID: "new-" + s.To, Name: s.To, Slot: s.Slot, Digest: target.Digest, Run: w.Run, State: Created, Restart: "no", Serving: target.Restart,
		})
	case Delete:
		o.Instances = slices.DeleteFunc(slices.Clone(o.Instances), func(in Instance) bool { return in.ID == s.Instance })
	case Release:
		o.Lock = nil
	}
	if in == nil {
		return o
	}
	switch s.Kind {
	case Rename, Leave, Keep:
		_, mark := marks.Read(s.To)
		in.Name, in.Mark = s.To, mark.Kind
	case Start:
		in.State = Running
		if in.Mark == marks.Leaving {
			in.Mark = marks.Old // void with the start
		}
	case Routed:
		in.confirmed = true
	case Stop:
		in.State, in.Restart, in.confirmed = Stopped, "no", false
	case Policy:
		in.Restart = s.To
	}
	return o
}
