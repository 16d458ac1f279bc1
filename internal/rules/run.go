package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/metrics"
	"fairway/internal/notify"
)

// Driver carries out what rules decide, from one goroutine. Contexts have a deadline.
type Driver interface {
	// Report reports that a rule fired or cleared, or what it has done or could not.
	Report(e notify.Event)
	// Drain and Undrain take a node, service or instance out and back.
	Drain(ctx context.Context, s catalog.Subject, rule, why string) error
	Undrain(ctx context.Context, s catalog.Subject, rule string) error
	// Scale changes the number of instances; an error when it is not from any more.
	Scale(ctx context.Context, service string, from, to int) error
}

// Options are what New needs. World and Driver are required.
type Options struct {
	Rules []Rule
	// World returns what is known now.
	World  func() *World
	Driver Driver
	// Every is how often rules are evaluated; zero means 2 s.
	Every time.Duration
	// Fired is when rules fired that did not clear in an earlier run, by event subject.
	Fired   map[string]time.Time
	Logger  *slog.Logger
	Metrics *metrics.Set
}

const (
	defaultEvery = 2 * time.Second
	actTimeout   = 30 * time.Second
)

// Rules evaluates rules. States may be called from any goroutine.
type Rules struct {
	o     Options
	fires *metrics.Vec[metrics.Counter]

	mu     sync.Mutex
	memory *memory
}

// New returns rules that do nothing until Run.
func New(o Options) (*Rules, error) {
	if o.World == nil || o.Driver == nil {
		return nil, errors.New("rules: world and driver are required")
	}
	o.Logger, o.Every = cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), cmp.Or(o.Every, defaultEvery)
	r := &Rules{o: o, memory: &memory{scaled: map[string]time.Time{}, began: time.Now()}}
	r.fires = o.Metrics.CounterVec("fairway_rule_actions_total",
		"What rules did, by rule and what: fired, cleared, drain, undrain, scale or refuse.", "action", "rule")
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
	return r, nil
}

// restore takes over that a rule fired in an earlier run.
func (m *memory) restore(id string, at time.Time) {
	for _, r := range m.rules {
		if of, ok := strings.CutPrefix(id, "rule/"+r.Name+"/"); ok {
			r.subjects[of] = &subject{value: Value{of, of, unknown()}, known: m.began, fired: at, drain: r.Do == DoDrain}
		}
	}
}

// Run evaluates the rules until ctx ends and returns nil. It may be called once.
func (r *Rules) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.o.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		r.evaluate(ctx)
	}
}

// evaluate decides and acts once.
func (r *Rules) evaluate(ctx context.Context) {
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

// act does one thing and reports it.
func (r *Rules) act(ctx context.Context, a action) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	r.fires.With(string(a.doing), a.rule.Name).Inc()
	of, when := a.subject.value.Subject, a.rule.condition.String()
	e := notify.Event{
		Kind: notify.RuleActed, Subject: "rule/" + a.rule.Name + "/" + of, Name: a.rule.Name, Text: a.text,
		Details: map[string]string{"rule": a.rule.Name, "when": when, "subject": of},
	}
	subject := a.rule.condition.Metric.subject(of)
	var err error
	switch a.doing {
	case doFire:
		e.Kind = notify.RuleFired
	case doClear:
		e.Kind = notify.RuleCleared
	case doDrain:
		err = r.o.Driver.Drain(ctx, subject, a.rule.Name, when)
	case doUndrain:
		err = r.o.Driver.Undrain(ctx, subject, a.rule.Name)
	case doScale:
		err = r.o.Driver.Scale(ctx, a.service, a.from, a.to)
	}
	if !r.outcome(a, err) {
		return
	}
	if err != nil {
		r.o.Logger.Error("a rule could not act", "rule", a.rule.Name, "action", a.doing, "subject", of, "error", err)
		e.Text += ", but that failed"
		e.Details["error"] = err.Error()
	}
	r.o.Driver.Report(e)
}

// outcome records how an action went. One that fails is tried again, and reported once.
func (r *Rules) outcome(a action, err error) (report bool) {
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

// States lists how the rules stand, in their order, then by subject; without one, once.
func (r *Rules) States() []api.RuleState {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []api.RuleState
	for _, one := range r.memory.rules {
		base := api.RuleState{Rule: one.Name, When: one.condition.String(), Do: cmp.Or(one.Do, DoNotify)}
		if len(one.subjects) == 0 {
			list = append(list, base)
		}
		for _, id := range slices.Sorted(maps.Keys(one.subjects)) {
			s, state := one.subjects[id], base
			state.Subject, state.Name = id, s.value.Name
			if !math.IsNaN(s.value.Number) {
				state.Value = kinds[one.condition.Metric].unit.shown(s.value.Number)
			}
			state.Fired, state.Since, state.Drained = s.fired.UTC().Truncate(time.Millisecond), s.since.UTC().Truncate(time.Millisecond), s.drain
			list = append(list, state)
		}
	}
	return list
}
