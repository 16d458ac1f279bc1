package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// lifecycle remembers, for everything that was started, how it is undone. The
// undoing is registered beside the doing and runs backwards.
type lifecycle struct {
	undo []step
}

type step struct {
	name string
	fn   func(context.Context) error
}

// onStop registers the undoing of what was just done.
func (l *lifecycle) onStop(name string, fn func(context.Context) error) {
	l.undo = append(l.undo, step{name, fn})
}

// stop undoes everything, last first, and names the steps that failed. ctx
// bounds the whole; every step is run even when an earlier one failed. It may
// be called again: what was undone is forgotten.
func (l *lifecycle) stop(ctx context.Context) error {
	var failed []error
	for _, s := range slices.Backward(l.undo) {
		if err := s.fn(ctx); err != nil {
			failed = append(failed, fmt.Errorf("stopping %s: %w", s.name, err))
		}
	}
	l.undo = nil
	return errors.Join(failed...)
}
