package fleet

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// TestThousand puts a revision on many hosts and says what that takes. The long
// form has a thousand.
func TestThousand(t *testing.T) {
	t.Parallel()
	n, pause := 40, 50*time.Millisecond
	if testkit.Soaking() {
		n, pause = 1000, time.Second
	} else if testing.Short() {
		n = 10
	}
	if many, err := strconv.Atoi(os.Getenv("FLEET_HOSTS")); err == nil {
		n = many
	}
	s := newSimFleet(t, n, text("v1"))
	var most atomic.Int64
	var mu sync.Mutex
	busy := map[*simHost]bool{}
	for _, h := range s.hosts {
		h.Busy = func(is bool) {
			mu.Lock()
			defer mu.Unlock()
			if is {
				busy[h] = true
			} else {
				delete(busy, h)
			}
			most.Store(max(most.Load(), int64(len(busy))))
		}
	}
	s.limits = limits{look: time.Minute, host: time.Minute, rollout: 30 * time.Minute, concurrency: 32}
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	settings := Settings{Pause: pause}
	began := time.Now()
	p := rollout(t, f, settings)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	for _, step := range p.Steps {
		if step.State != Applied {
			t.Fatalf("phase %s, %+v", p.Rollout.Phase, step)
		}
	}
	for _, h := range s.hosts {
		if file, running := h.has(); file != text("v2") || running != file {
			t.Fatalf("%s has %q and runs %q", h.name, file, running)
		}
	}
	// The hosts that are being watched come on top.
	if limit := int64(s.limits.concurrency + observedAtOnce); most.Load() > limit {
		t.Errorf("%d hosts at the same moment, more than %d", most.Load(), limit)
	}
	waves := p.Steps[n-1].Wave + 1
	t.Logf("%d hosts in %d waves: %.1f s, of which %.1f s are pauses; heap %d MiB before, %d MiB after, %d MiB obtained from the system; %d hosts at once at most",
		n, waves, took.Seconds(), float64(waves)*pause.Seconds(), before.HeapAlloc>>20, after.HeapAlloc>>20, after.Sys>>20, most.Load())
	s.onlyFixed(t)
}
