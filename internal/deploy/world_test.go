package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/deploy/marks"
)

// world is an orchestrator made of tables. It checks after every step what a deploy promises.
type world struct {
	mu   sync.Mutex
	o    Observation
	made int
	// kill, unless it is zero, breaks the run off after so many steps.
	kill, steps int
	cancel      context.CancelFunc
	// ill says how a new instance is: "" well, "exits", "unhealthy", "late" (unhealthy after a
	// while), "start" (cannot be started), "never" (starting for ever).
	ill    func(slot int) string
	least  int // that must be ready at any moment
	faults []string
	did    []string
	busy   map[string]int // requests that run, by instance

	mute [2]bool // Fairway, the engine
}

func (w *world) Held(context.Context) (*Lock, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.o.Lock, nil
}

var errSilent = errors.New("no answer")

// silent has the engine, or else Fairway, give no answers.
func (w *world) silent(engine, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute[map[bool]int{true: 1}[engine]] = yes
}

func (w *world) answers(engine bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mute[map[bool]int{true: 1}[engine]] {
		return errSilent
	}
	return nil
}

func (w *world) Observe(context.Context) (Observation, error) {
	if err := w.answers(true); err != nil {
		return Observation{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.o
	o.Instances = slices.Clone(w.o.Instances)
	for i := range o.Instances {
		in := &o.Instances[i]
		if in.State == Running && strings.HasPrefix(in.ID, "new") {
			switch w.illness(in) {
			case "exits":
				in.State, in.Detail, in.ExitCode = Stopped, "exit code 1", 1
			case "unhealthy":
				in.Health, in.Detail = "unhealthy", "exit code 1: no database"
			case "never":
				in.Health = "starting"
			case "late":
				if time.Since(in.Started) > 13*time.Second {
					in.Health = "unhealthy"
				}
			}
		}
	}
	return o, nil
}

func (w *world) illness(in *Instance) string {
	if w.ill == nil {
		return ""
	}
	return w.ill(in.Slot)
}

var errKilled = errors.New("killed")

func (w *world) Do(ctx context.Context, want Want, s Step) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.steps++
	w.did = append(w.did, fmt.Sprintf("%s %d", s.Kind, s.Slot))
	in := w.o.Find(s.Instance)
	if s.Instance != "" && in == nil {
		return ErrChanged
	}
	if s.Kind == Start && w.illness(in) == "start" && strings.HasPrefix(in.ID, "new") {
		return errors.New("port 8080 is taken")
	}
	if s.Kind == TakeOn && w.o.Lock != nil {
		if w.o.Lock.ID != want.TakeFrom {
			return &HeldError{Name: want.Name, Lock: *w.o.Lock}
		}
	}
	w.o = done(want, w.o, s)
	switch s.Kind {
	case TakeOn:
		w.o.Lock.ID, w.o.Lock.Digest = "lock-"+want.Run, want.Digest()
		w.o.Lock.Until = time.Now().Add(time.Hour)
	case Create:
		w.made++
		made := &w.o.Instances[len(w.o.Instances)-1]
		made.ID, made.Created, made.Routed, made.Health = fmt.Sprintf("new%d", w.made), time.Now(), true, ""
	case Start:
		in := w.o.Find(s.Instance)
		in.Started = time.Now()
		in.Mark = markOf(*in)
	case Stop:
		if n := w.busy[s.Instance]; n > 0 {
			w.faults = append(w.faults, fmt.Sprintf("%s is stopped with %d requests", s.Instance, n))
		}
	}
	serving := 0
	for _, in := range w.o.Instances {
		if in.State == Running && in.Mark != marks.Leaving && (!strings.HasPrefix(in.ID, "new") || w.illness(&in) == "") {
			serving++
		}
	}
	if serving < w.least {
		w.faults = append(w.faults, fmt.Sprintf("after %s of slot %d only %d serve", s.Kind, s.Slot, serving))
	}
	if w.kill > 0 && w.steps == w.kill {
		w.cancel()
		return errKilled
	}
	return nil
}

func markOf(in Instance) marks.Kind {
	_, m := marks.Read(in.Name)
	if m.Kind == marks.Leaving && !m.IsLeaving(in.Started) {
		return marks.Old
	}
	return m.Kind
}

func (w *world) Log(context.Context, string, int) ([]string, error) {
	return []string{"connecting", "no database"}, nil
}

func (w *world) Routed(context.Context, Instance) (bool, string, error) {
	err := w.answers(false)
	return err == nil, "", err
}

func (w *world) Drained(_ context.Context, in Instance) (int, bool, error) {
	if err := w.answers(false); err != nil {
		return 0, false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.busy[in.ID]
	return n, n == 0 && in.Mark == marks.Leaving, nil
}

// text is what there is, without IDs and times.
func (w *world) text() string {
	var lines []string
	for _, in := range w.o.Instances {
		base, _ := marks.Read(in.Name)
		mark := ""
		if in.Mark != marks.None {
			mark = " " + string(in.Mark)
		}
		lines = append(lines, fmt.Sprintf("%s%s %s %s restart=%s", base, mark, in.Digest, in.State, in.Restart))
	}
	slices.Sort(lines)
	if w.o.Lock != nil {
		lines = append(lines, "lock")
	}
	return strings.Join(lines, "\n")
}

var shop = Name{"shop", "web"}

// old are n instances of a digest that serve.
func old(n int, digest string) (list []Instance) {
	for slot := 1; slot <= n; slot++ {
		list = append(list, Instance{
			ID: fmt.Sprintf("old%d%s", slot, digest), Name: shop.Slot(slot), Slot: slot, Digest: digest, State: Running, Restart: "always", Serving: "always",
			Started: time.Now().Add(-time.Hour), Created: time.Now().Add(-time.Hour), Routed: true,
		})
	}
	return list
}

func slots(n int, digest string) map[int]Target {
	m := map[int]Target{}
	for slot := 1; slot <= n; slot++ {
		m[slot] = Target{digest, "always", false}
	}
	return m
}

func wanted(n int, digest string) Want {
	return Want{Name: shop, Run: "aaaaaaaa", Slots: slots(n, digest), Create: true, Keep: 1}
}

func walker(w *world) *Walker {
	return &Walker{Orchestrator: w, Traffic: w, Limits: Limits{Ready: time.Minute, Up: 10 * time.Second, Settle: 5 * time.Second, Drain: 30 * time.Second}}
}
