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
