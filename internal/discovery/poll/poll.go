// Package poll runs a source that learns by asking: at once, then at an
// interval, and whenever it is woken.
package poll

import (
	"context"
	"math/rand/v2"
	"time"

	"fairway/internal/catalog"
)

// Run sends the answer of ask to out, first at once, then each time interval
// has passed (give or take a tenth, so that many sources do not ask in step) or
// wake yields. It returns when ctx ends, and never closes out. wake may be nil;
// one that is closed must not be passed. ask must return when its context ends.
func Run(ctx context.Context, interval time.Duration, wake <-chan struct{}, out chan<- catalog.Answer, ask func(context.Context) catalog.Answer) {
	for {
		answer := ask(ctx)
		if ctx.Err() != nil {
			return // what was asked while ending is no answer
		}
		select {
		case out <- answer:
		case <-ctx.Done():
			return
		}
		timer := time.NewTimer(Jitter(interval))
		select {
		case <-timer.C:
		case <-wake:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
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
