// Package feed publishes the newest of a sequence of immutable values: snapshots,
// and the live table.
package feed

import (
	"context"
	"sync"
)

// Feed holds the newest value. Readers ask for one that is newer than the one they
// have and may skip those in between: there are no queues and no subscribers, so a
// slow reader costs nothing. The zero value is ready for use. All methods may be
// called from any goroutine.
type Feed[T any] struct {
	mu      sync.Mutex
	newest  *T
	changed chan struct{} // closed and dropped by each Publish; nil until a reader asks for it
}

// Publish makes v the newest value; it must not be written afterwards. Publishing
// the newest value again changes nothing.
func (f *Feed[T]) Publish(v *T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.newest == v {
		return
	}
	f.newest = v
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Newest returns the newest value, or nil before the first.
func (f *Feed[T]) Newest() *T {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest
}

// Changed returns a channel that the next Publish closes. A reader that takes it
// before it calls Newest misses nothing.
func (f *Feed[T]) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// Next returns the newest value as soon as it is another than have, which is nil
// for a reader that has none yet. It returns the context's error when ctx ends
// first.
func (f *Feed[T]) Next(ctx context.Context, have *T) (*T, error) {
	for {
		changed := f.Changed()
		if v := f.Newest(); v != have {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
