package catalog

import (
	"context"
	"sync"
)

// Feed hands out the newest snapshot. Readers ask for "newer than revision n"
// and may skip revisions in between; there are no queues and no subscribers, so
// a slow reader costs nothing. The zero value is ready for use. All methods may
// be called from any goroutine.
type Feed struct {
	mu      sync.Mutex
	newest  *Snapshot
	changed chan struct{} // closed and replaced by each Publish; nil until somebody waits
}

// Publish makes s the newest snapshot. Revisions must grow: a snapshot that is
// not newer than the one held is ignored. s must not be written afterwards.
func (f *Feed) Publish(s *Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.newest != nil && s.Revision <= f.newest.Revision {
		return
	}
	f.newest = s
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Newest returns the newest snapshot, or nil when there is none yet.
func (f *Feed) Newest() *Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest
}

// Changed returns a channel that is closed by the next Publish. A reader that
// takes it before it asks for Newest misses nothing.
func (f *Feed) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// Next waits until there is a snapshot with a revision above after and returns
// the newest one. It returns the context's error when ctx ends first.
func (f *Feed) Next(ctx context.Context, after uint64) (*Snapshot, error) {
	for {
		changed := f.Changed()
		if s := f.Newest(); s != nil && s.Revision > after {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
