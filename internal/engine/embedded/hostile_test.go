package embedded

import (
	"log/slog"
	"runtime"
	"testing"

	"fairway/internal/engine/enginetest/hostile"
	"fairway/internal/testkit"
)

// TestH2Spec: HTTP/2 is what RFC 9113 says, but for what Go's library does otherwise: it takes
// heads of 1 MiB, closes the connection of a client that sets its window twice at once, and
// answers fields of the connection with 400. None of it reaches an endpoint.
func TestH2Spec(t *testing.T) {
	testkit.Soak(t) // what fails is waited for
	hostile.H2Spec(t, newSite(t, Options{Logger: slog.New(slog.DiscardHandler)}).engine,
		"http2/4.2 Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE",
		"http2/6.5.3 Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE",
		"http2/8.1.2.2 Sends a HEADERS frame that contains the connection-specific header field",
		`http2/8.1.2.2 Sends a HEADERS frame that contains the TE header field with any value other than "trailers"`)
}

// TestHostileEndpoints: an endpoint that misbehaves harms itself alone, and leaves nothing
// behind.
func TestHostileEndpoints(t *testing.T) {
	s := newSite(t, Options{})
	s.apply()
	before := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) { hostile.Run(t, s.engine, nil) })
	testkit.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
