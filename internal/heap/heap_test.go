package heap

import (
	"runtime"
	"testing"

	"fairway/internal/testkit"
)

// TestPercentFor: a small heap is collected as Go does it, a large one more often.
func TestPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{0: 100, 4 << 20: 100, 20 << 20: 100, 64 << 20: 45, 200 << 20: 28, 4 << 30: 20} {
		if got := percentFor(live); got != want {
			t.Errorf("%d MiB: %d, want %d", live>>20, got, want)
		}
	}
}

// TestAfterEachCollection: it is called after one collection and after the next.
func TestAfterEachCollection(t *testing.T) {
	calls := make(chan struct{}, 100)
	afterEachCollection(t.Context(), func() { calls <- struct{}{} })
	for range 2 {
		testkit.Eventually(t, "it is called", func() bool {
			runtime.GC()
			select {
			case <-calls:
				return true
			default:
				return false
			}
		})
	}
}

// TestRest: once after a burst, when it is over, and not for a trickle.
func TestRest(t *testing.T) {
	const mib = 1 << 20
	var r rest
	total := uint64(0)
	for i, look := range []struct {
		allocated uint64
		due       bool
	}{
		{3 * mib, false},
		{0, false}, // not much yet
		{100 * mib, false},
		{10 * mib, false},
		{mib / 2, true},
		{mib / 2, false},
		{0, false},
		{3 * mib, false},
		{0, false},
		{3 * mib, false},
		{0, true},
	} {
		if total += look.allocated; r.due(total, 16*mib) != look.due {
			t.Errorf("look %d, after %d bytes: %v", i, look.allocated, !look.due)
		}
	}
	r.due(total+10*mib, 800*mib)
	if r.due(total+10*mib, 800*mib) {
		t.Error("what is held is collected for an eightieth of it")
	}
}
