package embedded_test

import (
	"context"
	"os"
	"testing"
	"time"

	"fairway/internal/engine/embedded"
	"fairway/internal/engine/enginetest"
)

// TestBehaviour puts the engine through the suite that says what a table means.
func TestBehaviour(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Engine {
		e, err := embedded.New(embedded.Options{UserDirs: []string{os.TempDir()}, Pages: enginetest.Pages()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			// What a case left running is cut off: its client is gone.
			_ = e.Stop(ctx)
		})
		return e
	})
}
