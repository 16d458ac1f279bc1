// Package heap keeps the memory small that garbage takes.
package heap

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Bound keeps the garbage of a large heap small, until ctx ends: Go lets it grow to
// the size of what is held, which for a catalogue of many containers is memory for nothing.
// Small heaps are collected as ever. When it is quiet after much was allocated, as after a
// burst of connections, the garbage is collected, and what is free given back to the system.
// It does nothing where GOGC or GOMEMLIMIT is set.
func Bound(ctx context.Context) error {
	if os.Getenv("GOGC")+os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	afterEachCollection(ctx, func() {
		metrics.Read(live)
		debug.SetGCPercent(percentFor(live[0].Value.Uint64()))
	})
	use := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, live[0]}
	var r rest
	for tick := time.Tick(look); ; {
		select {
		case <-ctx.Done():
			debug.SetGCPercent(percentFor(0))
			return nil
		case <-tick:
		}
		if metrics.Read(use); r.due(use[0].Value.Uint64(), use[1].Value.Uint64()) {
			runtime.GC() // stacks shrink by half each time, and pools are empty after two
			debug.FreeOSMemory()
		}
	}
}

// How often it is looked for a rest, at how many bytes in that time there is one, and after how
// many since the last one it is used: at least so many, and an eighth of what is held.
const (
	look  = 2 * time.Second
	quiet = 1 << 20
	much  = 4 << 20
)

// rest knows when little is allocated after much was. The counts are of all bytes that were
// ever allocated.
type rest struct{ before, used uint64 }

// due reports, of the count at each look and of what is held, whether it is time to collect.
func (r *rest) due(allocated, live uint64) bool {
	calm := allocated-r.before < quiet
	r.before = allocated
	if !calm || allocated-r.used < max(much, live/8) {
		return false
	}
	r.used = allocated
	return true
}

// percentFor is the garbage in percent of what is held that is let grow: a fifth and a few
// MiB, but no more than Go's own default. A full list of 30,000 containers makes some 150 MB of garbage;
// that is four collections of 80 ms CPU time every 30 seconds, about one percent of one CPU.
func percentFor(live uint64) int {
	const least, some = 20, 16 << 20
	return int(min(100, least+100*some/max(live, 1)))
}

// afterEachCollection calls f after each collection of garbage, until ctx ends.
func afterEachCollection(ctx context.Context, f func()) {
	// The sentinel is found to be garbage by the next collection. It is too large for the
	// allocator to keep it alive beside something else.
	runtime.AddCleanup(new([32]byte), func(f func()) {
		if ctx.Err() == nil {
			f()
			afterEachCollection(ctx, f)
		}
	}, f)
}
