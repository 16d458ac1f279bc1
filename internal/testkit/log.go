package testkit

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Log keeps what is logged, for tests that wait for a line or look for one. The zero
// value is ready; all methods may be called from any goroutine.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write adds to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Logger writes lines of text to the log, from level Debug on.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Await waits until the log has the text.
func (l *Log) Await(t testing.TB, text string) {
	t.Helper()
	Eventually(t, "the log has "+text, func() string {
		if all := l.String(); !strings.Contains(all, text) {
			return "it has " + all
		}
		return ""
	})
}
