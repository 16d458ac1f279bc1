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

// scaler changes the number of tasks of a service, when it is what was thought.
type scaler interface {
	ScaleFrom(ctx context.Context, service string, from, to uint64) error
}

// hands do what rules decide.
type hands struct {
	notifier *notify.Notifier
	control  *control.Control
	swarm    scaler // nil when no rule scales
	log      *slog.Logger
}

func (h *hands) report(kind notify.Kind, e rules.Event) {
	_ = h.notifier.Report(notify.Event{Kind: kind, Subject: e.Subject, Name: e.Name, Text: e.Text, Details: e.Details}) // errors are logged
}

// Fired reports that a rule has fired.
func (h *hands) Fired(e rules.Event) { h.report(notify.RuleFired, e) }

// Cleared reports that it is over.
func (h *hands) Cleared(e rules.Event) { h.report(notify.RuleCleared, e) }

// Acted reports what a rule has done.
func (h *hands) Acted(e rules.Event) { h.report(notify.RuleActed, e) }

// operatorOf is the name of a rule among the operators.
func operatorOf(rule string) string { return "rule " + rule }

// subjectOf is what a rule means by the ID of a subject.
func subjectOf(kind, id string) catalog.Subject {
	switch kind {
	case "node":
		return catalog.Subject{Node: id}
	case "service":
		return catalog.Subject{Service: id}
	}
	name, source, _ := strings.Cut(id, "@")
	return catalog.Subject{Instance: name, Source: source}
}

// Drain gives a command as an operator would. What an operator has drained is left
// to him.
func (h *hands) Drain(ctx context.Context, kind, id, rule, why string) error {
	subject := subjectOf(kind, id)
	for _, c := range h.control.Commands() {
		if c.Kind == control.CommandDrain && c.Subject.Same(subject) {
			return nil
		}
	}
	_, err := h.control.Give(ctx, control.Order{Kind: control.CommandDrain, Subject: subject, Operator: operatorOf(rule), Message: why})
	return err
}

// Undrain revokes a drain that the rule gave; drains of others stay.
func (h *hands) Undrain(ctx context.Context, kind, id, rule string) error {
	subject := subjectOf(kind, id)
	for _, c := range h.control.Commands() {
		if c.Kind != control.CommandDrain || !c.Subject.Same(subject) || c.Operator != operatorOf(rule) {
			continue
		}
		if _, err := h.control.TakeBack(ctx, c.ID, operatorOf(rule), "the rule has cleared"); err != nil && !errors.Is(err, history.ErrNotFound) {
			return err
		}
	}
	return nil
}

// Scale changes the number of instances of a service of the Swarm.
func (h *hands) Scale(ctx context.Context, service string, from, to int) error {
	if h.swarm == nil {
		return errors.New("no Swarm")
	}
	name, _, _ := strings.Cut(service, "@")
	return h.swarm.ScaleFrom(ctx, name, uint64(from), uint64(to))
}
