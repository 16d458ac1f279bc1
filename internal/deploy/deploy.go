// Package deploy brings a service to what it must be, one slot after the other, and takes it
// back when it does not get well. Next is pure: what is wanted and what is observed in, the
// steps that come next out. Everything it goes by stands in the orchestrator itself, in names
// and labels of instances; so to resume after a kill, to go back and to show a plan are all the
// same: observe, plan, do what is left. A Walker does it.
package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/deploy/marks"
)

// Name is what a service is called.
type Name struct{ Project, Service string }

// String is the name as people read it.
func (n Name) String() string { return n.Project + "/" + n.Service }

// Slot is what the instance in a slot, from 1 on, is called.
func (n Name) Slot(i int) string { return n.Project + "-" + n.Service + "-" + strconv.Itoa(i) }

// Lock is what the container that stands for a deploy under way is called.
func (n Name) Lock() string { return "fairway-deploy." + n.Project + "-" + n.Service }

// Target is what a slot must have.
type Target struct {
	// Digest is the spec digest of its instance.
	Digest string
	// Restart is the restart policy that it gets once it serves; empty for the one that the
	// instance says itself.
	Restart string
	// Rests is true where it need not run on the way back: it did not before.
	Rests bool
}

// Want is what a service must be.
type Want struct {
	Name Name
	// Run is one of its own for each command, 8 hexadecimal digits.
	Run string
	// Slots are those that it must have, from 1 on. Instances in others go.
	Slots map[int]Target
	// Container is the name of the only instance; empty for those by slot.
	Container string
	// Create is true where new instances are made. Without it those that are there, kept ones
	// too, are all there is.
	Create bool
	// StopFirst has old instances stop before new ones start.
	StopFirst bool
	// Parallel is how many slots are replaced at once; below one means one.
	Parallel int
	// Keep is how many old instances of each slot stay, stopped, for the way back.
	Keep int
	// Replaced says what becomes of instances that were replaced.
	Replaced Disposal
	// KeepFailed has new instances that did not get ready stay, stopped, on the way back.
	KeepFailed bool
	// Everything has the kept ones go, too, of every slot.
	Everything bool
	// TakeFrom is the ID of another lock that this run takes the place of; empty for none.
	TakeFrom string

	// back is true on the way back.
	back bool
}

// Digest stands for what is wanted: two commands that want the same have the same.
func (w Want) Digest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %v %v", FormatFrom(w.Slots), w.Create, w.Everything))
	return hex.EncodeToString(sum[:6])
}

// Disposal is what becomes of an instance that was replaced.
type Disposal int

// The disposals.
const (
	KeepStopped  Disposal = iota // for the way back
	Remove                       // for good
	KeptForALook                 // those that failed
)

// base is the name that the instance of a slot has in the end.
func (w Want) base(slot int) string {
	if w.Container != "" {
		return w.Container
	}
	return w.Name.Slot(slot)
}

// Observation is what an orchestrator says of a service at one moment.
type Observation struct {
	// Instances are all of the service.
	Instances []Instance
	// Lock is that of a deploy under way; nil for none.
	Lock *Lock
	// Image is true where the image of new instances is there.
	Image bool
	// Missing are the networks and volumes, as "network NAME", that new instances need and
	// that are not there.
	Missing []string
}

// Find returns the instance with an ID, or nil.
func (o Observation) Find(id string) *Instance {
	if i := slices.IndexFunc(o.Instances, func(in Instance) bool { return in.ID == id }); i >= 0 {
		return &o.Instances[i]
	}
	return nil
}

// State is that of an instance.
type State string

// The states.
const (
	Created State = "created" // and never started
	Running State = "running"
	Stopped State = "stopped"
)

// Instance is one instance of a service.
type Instance struct {
	ID string
	// Name is what it is called, with its mark. Mark is void where a restart made it so.
	Name string
	Mark marks.Kind
	Slot int
	// Digest is its spec digest, Run the command that made it; of one that something else has
	// made the digest stands for it alone, and Run is empty.
	Digest, Run string
	Image, Node string
	State       State
	// Health is "starting", "healthy" or "unhealthy"; empty without a check.
	Health string
	// Detail says why it does not run or is unhealthy.
	Detail   string
	ExitCode int
	// Created and Started are by the engine's clock; Started is zero for never.
	Created, Started time.Time
	// Restart is its restart policy now, Serving the one that it has while it serves; empty
	// where that is not known.
	Restart, Serving string
	// Routed is true where its labels ask for a route; Known is the name that they give its
	// service, or empty.
	Routed bool
	Known  string
	// Grace is how long it has between its signal and its end.
	Grace time.Duration
	// StopFirst is true where it cannot be beside another of its slot.
	StopFirst bool

	// confirmed is true once this run has seen it ready and routed.
	confirmed bool
}

func (in *Instance) runs() bool { return in.State == Running }

// Lock says which deploy of a service is under way.
type Lock struct {
	// ID is that of the container.
	ID string
	// Who and Host are who began it and where, Process the process that did, with its number and start
	// of it.
	Who, Host, Process string
	Since, Until       time.Time
	// Run and Digest are those of what it does; From is what was there.
	Run, Digest string
	From        map[int]Target
	// StopFirst is that of what it does.
	StopFirst bool
}

// FormatFrom writes what was there into a label, ParseFrom reads it.
func FormatFrom(from map[int]Target) string {
	var list []string
	for slot, t := range from {
		text := fmt.Sprintf("%d=%s=%s", slot, t.Digest, t.Restart)
		if t.Rests {
			text += "=rests"
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// ParseFrom reads what FormatFrom has written, and leaves out what it cannot read.
func ParseFrom(text string) map[int]Target {
	from := map[int]Target{}
	for word := range strings.FieldsSeq(text) {
		part := strings.Split(word, "=")
		if slot, err := strconv.Atoi(part[0]); err == nil && len(part) >= 3 && slot > 0 {
			from[slot] = Target{part[1], part[2], len(part) > 3}
		}
	}
	return from
}

// Now is what a service is, slot by slot: the way back leads to it.
func (o Observation) Now() map[int]Target {
	now, best := map[int]Target{}, map[int]Instance{}
	for _, in := range o.Instances {
		if in.Mark == marks.Kept || in.Mark == marks.Failed {
			continue
		}
		if b, ok := best[in.Slot]; !ok || rank(&in) < rank(&b) {
			best[in.Slot] = in
		}
	}
	for slot, in := range best {
		policy := in.Serving
		if policy == "" {
			policy = in.Restart
		}
		now[slot] = Target{in.Digest, policy, !in.runs()}
	}
	return now
}

// Back is what a service must be after a deploy that did not end well.
func (l *Lock) Back(w Want) Want {
	w.Slots, w.Create, w.Keep, w.Everything, w.back = l.From, false, 1<<20, false, true
	w.StopFirst = w.StopFirst || l.StopFirst
	if w.Replaced = Remove; w.KeepFailed {
		w.Replaced = KeptForALook
	}
	return w
}

// IsStopFirst reports whether two instances of a slot cannot be at once, as the deploys that made
// them have said, or the one under way.
func (o Observation) IsStopFirst() bool {
	return o.Lock != nil && o.Lock.StopFirst || slices.ContainsFunc(o.Instances, func(in Instance) bool { return in.StopFirst })
}

// Step is one thing that a deploy does.
type Step struct {
	Kind Kind
	// Slot is zero for a step of the whole service.
	Slot int
	// Instance is the ID of the instance that it is about, Name what that is called; empty for
	// none.
	Instance, Name string
	// To is the name, the restart policy, or the network or volume that it makes.
	To string
	// Why says why it is needed, where that is not plain.
	Why string
}

// Kind is what a step does.
type Kind string

// The kinds of steps. Ready, Routed, Drained and Settle only wait.
const (
	Pull    Kind = "pull"    // get the image
	TakeOn  Kind = "lock"    // say that a deploy is under way
	Prepare Kind = "prepare" // make a network or volume
	Rename  Kind = "rename"
	Create  Kind = "create"
	Start   Kind = "start"
	Ready   Kind = "ready"
	Routed  Kind = "routed"
	Leave   Kind = "leave" // get nothing new, by name
	Drained Kind = "drained"
	Stop    Kind = "stop"
	Keep    Kind = "keep" // stay stopped, for the way back or for a look, by name
	Delete  Kind = "remove"
	Policy  Kind = "restart-policy"
	Settle  Kind = "settle"
	Release Kind = "unlock"
)

// Orchestrator is what runs instances on demand of a service.
type Orchestrator interface {
	// Held returns the lock of a deploy under way, nil for none.
	Held(ctx context.Context) (*Lock, error)
	// Observe returns everything about the service, or an error.
	Observe(ctx context.Context) (Observation, error)
	// Do does a step that does not only wait. It may be done twice. The error is ErrChanged
	// where what it is about is not as it was observed.
	Do(ctx context.Context, w Want, s Step) error
	// Log returns the newest lines that an instance has written.
	Log(ctx context.Context, instance string, lines int) ([]string, error)
}

// Traffic is what is known about requests to instances.
type Traffic interface {
	// Routed reports whether an instance takes requests, everywhere. Where it does not, why
	// says what it waits for.
	Routed(ctx context.Context, in Instance) (routed bool, why string, err error)
	// Drained returns how many requests an instance is still busy with; none is true once it
	// gets no more and has none, everywhere.
	Drained(ctx context.Context, in Instance) (requests int, none bool, err error)
}

// ErrChanged is the error when something is not as it was observed: observe again.
var ErrChanged = errors.New("it has changed meanwhile")

// NotReadyError says that an instance did not get ready.
type NotReadyError struct {
	Instance Instance
	// Why is what happened, in words.
	Why string
	// Log are the last lines that it wrote.
	Log []string
}

// Error says which instance and why.
func (e *NotReadyError) Error() string { return e.Instance.Name + " " + e.Why }

// HeldError says that another deploy of the service is under way, or was broken off.
type HeldError struct {
	Name Name
	Lock Lock
	// Broken is true where the process that did it is known to be gone.
	Broken bool
}

// Error says who holds it and what can be done.
func (e *HeldError) Error() string {
	text := fmt.Sprintf("%s: a deploy is under way: by %s on %s since %s, until %s at the latest",
		e.Name, e.Lock.Who, e.Lock.Host, e.Lock.Since.UTC().Format(time.DateTime), e.Lock.Until.UTC().Format(time.DateTime))
	if e.Broken {
		text = fmt.Sprintf("%s: a deploy, scale or rollback to something else was broken off: by %s on %s at %s; run that command again, or take it back with fairway service revert %s",
			e.Name, e.Lock.Who, e.Lock.Host, e.Lock.Since.UTC().Format(time.DateTime), e.Name)
	}
	return text
}
