package app

import (
	"testing"
	"time"

	"fairway/internal/engine/embedded/balance"
)

// Departures of a service are reported although endpoints of others, or of itself,
// go on leaving.
func TestDeparturesAreReportedUnderSteadyChurn(t *testing.T) {
	began := time.Unix(1000, 0)
	waiting := departures{}
	waiting.add(balance.Drained{Service: "quiet"}, began)
	reported := map[string]time.Duration{}
	for after := time.Duration(0); after <= time.Minute; after += time.Second {
		waiting.add(balance.Drained{Service: "busy"}, began.Add(after))
		for service := range waiting.take(began.Add(after)) {
			if _, again := reported[service]; !again {
				reported[service] = after
			}
		}
	}
	for service, want := range map[string]time.Duration{"quiet": drainQuiet, "busy": drainLatest} {
		if got, ok := reported[service]; !ok || got != want {
			t.Errorf("service %s is reported after %s, want %s (%v)", service, got, want, ok)
		}
	}
	if due, ok := waiting.due(); !ok || due.Before(began.Add(time.Minute)) {
		t.Errorf("what has left since is due at %s, %v", due, ok)
	}
}
