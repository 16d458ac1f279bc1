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
const Patience = time.Minute

// Eventually calls missing until it returns an empty text, and ends the test with
// the last text when that takes longer than Patience. missing says what is not
// there yet, as it is to be read in the failure: "2 of 3 endpoints are ready". It
// returns how long it took. It is called on the test's goroutine.
func Eventually(t testing.TB, what string, missing func() string) time.Duration {
	t.Helper()
	return Within(t, Patience, what, missing)
}

// Within is Eventually with a bound of its own, for what takes minutes.
func Within(t testing.TB, bound time.Duration, what string, missing func() string) time.Duration {
	t.Helper()
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		last := missing()
		if last == "" {
			return time.Since(began)
		}
		if time.Since(began) > bound {
			t.Fatalf("%s: not within %s: %s", what, bound, last)
		}
		time.Sleep(pause)
	}
}

// True makes a condition that has nothing more to say into one for Eventually.
func True(ok func() bool) func() string {
	return func() string {
		if ok() {
			return ""
		}
		return "not yet"
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
