// Package lifecycle remembers how what was started is ended.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Steps undo what was started. The zero value has none; one goroutine may use it at a time.
type Steps struct{ undo []step }

type step struct {
	name string
	fn   func(context.Context) error
}

// OnStop adds how something is ended, with its name for errors.
func (l *Steps) OnStop(name string, fn func(context.Context) error) {
	l.undo = append(l.undo, step{name, fn})
}

// Stop undoes everything, last first, also after a step that failed, and forgets it.
func (l *Steps) Stop(ctx context.Context) error {
	var failed []error
	for _, s := range slices.Backward(l.undo) {
		if err := s.fn(ctx); err != nil {
			failed = append(failed, fmt.Errorf("stopping %s: %w", s.name, err))
		}
	}
	l.undo = nil
	return errors.Join(failed...)
}
