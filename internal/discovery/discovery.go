// Package discovery runs the sources and merges what they say into one
// snapshot.
//
// A Source reads one outside system. The Collector keeps the last good answer
// of each source, so that a source that fails freezes its own services and
// nobody else's, and publishes one snapshot when the answers have been quiet
// for a moment. See README.md for how to add a source.
package discovery

import (
	"context"

	"fairway/internal/catalog"
)

// Source reads one outside system.
type Source interface {
	// Name is the source's name: stable across restarts, unique among the
	// sources of a collector, a function of the configuration alone.
	Name() string
	// Run sends answers until ctx ends, then returns. Each answer is everything
	// the source sees or the error that kept it from seeing. Run sends whenever
	// something changed, and confirms now and then (30 s at most) that nothing
	// did; after an answer in which services are gone it answers again within
	// six seconds, which is what confirms their removal. It selects on ctx with
	// each send, never closes out, and may be called again after it returned.
	Run(ctx context.Context, out chan<- catalog.Answer)
}
