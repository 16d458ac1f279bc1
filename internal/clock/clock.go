// Package clock waits in ways that end with a context.
package clock

import (
	"context"
	"time"
)

// Sleep waits for d and returns nil, or returns the error of ctx when that ends first.
// It does not wait when d is not above zero.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
