package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/control"
	"fairway/internal/history"
	"fairway/internal/notify"
	"fairway/internal/rules"
)

// scaler changes the number of tasks of a service, unless it has changed meanwhile.
type scaler interface {
	ScaleFrom(ctx context.Context, service string, from, to uint64) error
}

// ruleDriver carries out what rules decide.
type ruleDriver struct {
	notifier *notify.Notifier
	control  *control.Control
	swarm    scaler // nil when no rule scales
	log      *slog.Logger
}

// Report notifies of what a rule did.
func (d *ruleDriver) Report(what rules.Report, e rules.Event) {
	kind := map[rules.Report]notify.Kind{rules.Fired: notify.RuleFired, rules.Cleared: notify.RuleCleared, rules.Acted: notify.RuleActed}[what]
	_ = d.notifier.Report(notify.Event{Kind: kind, Subject: e.Subject, Name: e.Name, Text: e.Text, Details: e.Details}) // errors are logged
}

// operatorOf is the name of a rule among the operators.
func operatorOf(rule string) string { return "rule " + rule }

// Drain gives a command as an operator would. A drain of an operator stays as it is.
func (d *ruleDriver) Drain(ctx context.Context, subject catalog.Subject, rule, why string) error {
	for _, c := range d.control.Commands() {
		if c.Kind == control.CommandDrain && c.Subject.Same(subject) {
			return nil
		}
	}
	_, err := d.control.Give(ctx, control.Order{Kind: control.CommandDrain, Subject: subject, Operator: operatorOf(rule), Message: why})
	return err
}

// Undrain revokes a drain that the rule gave; drains of others stay.
func (d *ruleDriver) Undrain(ctx context.Context, subject catalog.Subject, rule string) error {
	for _, c := range d.control.Commands() {
		if c.Kind != control.CommandDrain || !c.Subject.Same(subject) || c.Operator != operatorOf(rule) {
			continue
		}
		if _, err := d.control.TakeBack(ctx, c.ID, operatorOf(rule), "the rule has cleared"); err != nil && !errors.Is(err, history.ErrNotFound) {
			return err
		}
	}
	return nil
}

// Scale changes the number of instances of a service of the Swarm.
func (d *ruleDriver) Scale(ctx context.Context, service string, from, to int) error {
	if d.swarm == nil {
		return errors.New("no Swarm")
	}
	name, _, _ := strings.Cut(service, "@")
	return d.swarm.ScaleFrom(ctx, name, uint64(from), uint64(to))
}
