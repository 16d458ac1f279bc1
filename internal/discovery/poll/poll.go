// Package poll runs a source that learns by asking: at once, then at an
// interval, and whenever it is woken.
package poll

import (
	"context"
	"math/rand/v2"
	"time"

	"fairway/internal/catalog"
)

// Run sends the answer of ask to out, first at once, then each time interval has passed
// (give or take a tenth, so that many sources do not ask in step) or wake yields. It returns
// when ctx ends. wake may be nil, but not closed. ask must return when its context ends.
func Run(ctx context.Context, interval time.Duration, wake <-chan struct{}, out chan<- catalog.Answer, ask func(context.Context) catalog.Answer) {
	for {
		answer := ask(ctx)
		if ctx.Err() != nil || !Send(ctx, out, answer) {
			return // what was asked while ending is no answer
		}
		select {
		case <-time.After(Jitter(interval)):
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

// Send sends v, and reports false when ctx ends first.
func Send[T any](ctx context.Context, out chan<- T, v T) bool {
	select {
	case out <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

// Wake wakes a source that is run with this channel, which has room for one.
func Wake(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default: // it is about to ask anyway
	}
}

// Jitter returns d changed by at most a tenth, at random.
func Jitter(d time.Duration) time.Duration {
	spread := d / 10
	if spread <= 0 {
		return d
	}
	return d - spread + rand.N(2*spread+1)
}
