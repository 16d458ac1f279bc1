package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Event is something that a rule did. Its words are those of package notify.
type Event struct {
	// Subject is "rule/NAME/SUBJECT", Name the rule's.
	Subject, Name string
	Text          string
	Details       map[string]string
}

// Hands do what rules decide. Every call has the deadline of its context. They are
// called from one goroutine.
type Hands interface {
	// Fired and Cleared tell that a rule did; Acted that it has done something, or
	// could not.
	Fired(Event)
	Cleared(Event)
	Acted(Event)
	// Drain and Undrain take a node, service or instance out and back. kind is one
	// of these words, subject what the catalogue calls it.
	Drain(ctx context.Context, kind, subject, rule, why string) error
	Undrain(ctx context.Context, kind, subject, rule string) error
	// Scale changes the number of a service's instances, from what it was decided
	// upon; somebody else's change in between is an error.
	Scale(ctx context.Context, service string, from, to int) error
}

// Options are what New needs. World and Hands are required.
type Options struct {
	Rules []Rule
	// World returns what is known now.
	World func() *World
	Hands Hands
	// Every is how often rules are looked at; zero means 2 s.
	Every time.Duration
	// Fired are the subjects of events by which an earlier run told that a rule has
	// fired, and that were not cleared, with when that was.
	Fired      map[string]time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

const (
	defaultEvery = 2 * time.Second
	actTimeout   = 30 * time.Second
)

// Rules watches. States may be called from any goroutine.
type Rules struct {
	o     Options
	fires *prometheus.CounterVec

	mu     sync.Mutex
	memory *memory
}

// New returns rules that do nothing until Run.
func New(o Options) (*Rules, error) {
	if o.World == nil || o.Hands == nil {
		return nil, errors.New("rules: world and hands are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	r := &Rules{o: o, memory: &memory{scaled: map[string]time.Time{}, began: time.Now()}}
	r.fires = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fairway_rule_actions_total", Help: "What rules did, by rule and what: fired, cleared, drain, undrain, scale or refuse.",
	}, []string{"rule", "action"})
	for _, def := range o.Rules {
		if err := errors.Join(def.Check()...); err != nil {
			return nil, fmt.Errorf("rule %q: %w", def.Name, err)
		}
		if slices.ContainsFunc(r.memory.rules, func(other *rule) bool { return other.Name == def.Name }) {
			return nil, fmt.Errorf("two rules are called %q", def.Name)
		}
		c, err := Parse(def.When)
		if err != nil {
			return nil, err
		}
		r.memory.rules = append(r.memory.rules, &rule{Rule: def, condition: c, subjects: map[string]*subject{}})
	}
	for id, at := range o.Fired {
		r.memory.restore(id, at)
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(r.fires); err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
	}
	return r, nil
}

// restore lets a rule have fired in an earlier run.
func (m *memory) restore(id string, at time.Time) {
	name, of, ok := cut(id)
	for _, r := range m.rules {
		if ok && r.Name == name {
			r.subjects[of] = &subject{value: Value{of, of, unknown()}, known: m.began, fired: at, drain: r.Do == DoDrain}
		}
	}
}

// Run looks at the rules until ctx ends and returns nil. It may be called once.
func (r *Rules) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.o.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		r.look(ctx)
	}
}

// look decides and acts once.
func (r *Rules) look(ctx context.Context) {
	w := r.o.World()
	if w == nil || w.Snapshot == nil || w.Snapshot.Restored {
		return
	}
	r.mu.Lock()
	list := r.memory.decide(w)
	r.mu.Unlock()
	for _, a := range list {
		r.act(ctx, a)
	}
}

// act does one thing and tells of it.
func (r *Rules) act(ctx context.Context, a action) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	r.fires.WithLabelValues(a.rule.Name, string(a.doing)).Inc()
	e := Event{Subject: a.rule.id(a.subject), Name: a.rule.Name, Text: a.text, Details: map[string]string{
		"rule": a.rule.Name, "when": a.rule.condition.String(), "subject": a.subject.value.Subject,
	}}
	kind, of := a.rule.condition.Metric.thing(), a.subject.value.Subject
	var err error
	switch a.doing {
	case doFire:
		r.o.Hands.Fired(e)
		return
	case doClear:
		r.o.Hands.Cleared(e)
		return
	case doDrain:
		err = r.o.Hands.Drain(ctx, kind, of, a.rule.Name, a.rule.condition.String())
	case doUndrain:
		err = r.o.Hands.Undrain(ctx, kind, of, a.rule.Name)
	case doScale:
		err = r.o.Hands.Scale(ctx, a.service, a.from, a.to)
	}
	if !r.outcome(a, err) {
		return
	}
	if err != nil {
		r.o.Logger.Error("a rule could not act", "rule", a.rule.Name, "action", a.doing, "subject", of, "error", err)
		e.Text += ", but that failed"
		e.Details["error"] = err.Error()
	}
	r.o.Hands.Acted(e)
}

// outcome notes how an action went, and says whether that is to be told: one that
// fails is tried again, and told of once.
func (r *Rules) outcome(a action, err error) (tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		a.subject.fault = ""
		return true
	}
	switch a.doing {
	case doDrain:
		a.subject.drain = false
	case doUndrain:
		a.subject.drain = true
	}
	if a.subject.fault == err.Error() {
		return false
	}
	a.subject.fault = err.Error()
	return true
}

// State is how a rule stands with a subject.
type State struct {
	Rule, When, Do string
	Subject, Name  string
	// Value is what the metric last was, as text; empty when it is not known.
	Value string
	// Fired is when the rule fired; zero when it has not. Since is when the
	// condition began to hold without that it fired yet, or ceased to without that
	// it cleared yet; zero when neither is so.
	Fired, Since time.Time
	// Drained is true while the subject is drained by the rule.
	Drained bool
}

// States lists how the rules stand, in the order of the configuration, then by
// subject. A rule that is about nothing there is stands there once, without a
// subject.
func (r *Rules) States() []State {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []State
	for _, one := range r.memory.rules {
		base := State{Rule: one.Name, When: one.condition.String(), Do: one.Do}
		if base.Do == "" {
			base.Do = DoNotify
		}
		if len(one.subjects) == 0 {
			list = append(list, base)
		}
		for _, id := range sortedKeys(one.subjects) {
			s, state := one.subjects[id], base
			state.Subject, state.Name = id, s.value.Name
			if !math.IsNaN(s.value.Number) {
				state.Value = kinds[one.condition.Metric].unit.shown(s.value.Number)
			}
			state.Fired, state.Since, state.Drained = s.fired, s.since, s.drain
			list = append(list, state)
		}
	}
	return list
}
