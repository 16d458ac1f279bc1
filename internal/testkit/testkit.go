// Package testkit is what tests of several packages need in the same form:
// waiting for something that happens elsewhere, and what is left to `make soak`. Only
// tests import it.
package testkit

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// Patience is how long Eventually waits at most. It bounds a test that hangs; it
// says nothing about how fast something has to be, and is long enough for a
// machine that is busy with other work.
const Patience = 3 * time.Minute

// Condition says whether what is waited for is there: true, or an empty text. Another
// text says what is missing, as it is to be read in the failure: "2 of 3 endpoints
// are ready".
type Condition interface {
	func() bool | func() string
}

// Eventually waits until the condition holds, and ends the test when that takes
// longer than Patience. It returns how long it took. The condition is called on the
// test's goroutine.
func Eventually[C Condition](t testing.TB, what string, is C) time.Duration {
	t.Helper()
	return Within(t, Patience, what, is)
}

// Within is Eventually with a bound of its own, for what takes minutes.
func Within[C Condition](t testing.TB, bound time.Duration, what string, is C) time.Duration {
	t.Helper()
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		missing := ""
		switch is := any(is).(type) {
		case func() string:
			missing = is()
		case func() bool:
			if !is() {
				missing = "not yet"
			}
		}
		if missing == "" {
			return time.Since(began)
		}
		if time.Since(began) > bound {
			t.Fatalf("%s: not within %s: %s", what, bound, missing)
		}
		time.Sleep(pause)
	}
}

// Soak leaves the test to `make soak`: long forms, storms, and what needs a part
// that takes minutes to build. It has to be the first call of the test.
func Soak(t testing.TB) {
	t.Helper()
	if !Soaking() {
		t.Skip("left to make soak")
	}
}

// Figure reports what a soak test measured; `make soak` prints the figures of all
// tests as one table.
func Figure(t testing.TB, what, format string, args ...any) {
	t.Helper()
	t.Logf("FIGURE %s: %s", what, fmt.Sprintf(format, args...))
}

// Soaking reports whether this is `make soak`, where tests have their full length.
func Soaking() bool { return os.Getenv("FAIRWAY_SOAK") != "" }
