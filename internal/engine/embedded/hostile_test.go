package embedded

import (
	"runtime"
	"testing"

	"fairway/internal/engine/enginetest/hostile"
	"fairway/internal/testkit"
)

// TestHostileEndpoints: an endpoint that misbehaves harms itself alone, and leaves nothing
// behind.
func TestHostileEndpoints(t *testing.T) {
	s := newSite(t, Options{})
	s.apply()
	before := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) { hostile.Run(t, s.engine, nil) })
	testkit.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
